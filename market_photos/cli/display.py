"""Show a run live on a terminal. A module of its own: rich takes long to import, and cron needs none of it."""

import asyncio
from collections.abc import Iterable

from rich.console import Console, OverflowMethod, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from market_photos.reporting.progress import RunProgress, StoreProgress
from market_photos.sync.run import Run
from market_photos.text import counted, human_bytes

#: Seconds between two views of few stores, and of many, which take longer to count.
REDRAW_SECONDS = (0.5, 2.0)
#: Stores that are shown one by one. Of more, only those are whose requests have to wait.
SHOWN_STORES = 8
#: Columns of the bar, and those that it leaves to the text beside it.
BAR_COLUMNS = (10, 40)
TEXT_COLUMNS = 62


class RunView(Progress):
    """A bar for all photos of a run, and lines below it."""

    def __init__(self, console: Console) -> None:
        least, most = BAR_COLUMNS
        bar = BarColumn(max(least, min(most, console.width - TEXT_COLUMNS)))
        text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="crop"))
        self._overflow: OverflowMethod = "ellipsis" if console.encoding.startswith("utf") else "crop"
        self._lines: list[str] = []
        super().__init__(bar, text, console=console, transient=True, auto_refresh=False)
        self._photos = self.add_task("", total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the bar and the lines."""
        yield self.make_tasks_table(self.tasks)
        yield from (Text(line, no_wrap=True, overflow=self._overflow) for line in self._lines)

    def show(self, now: RunProgress, stopping: str) -> None:
        """Draw what is known now. `stopping`: why the run is about to end, or empty."""
        text = "  ".join(now.parts()) if now.planned else now.line()
        total = now.photos + now.pending if now.planned else None
        self.update(self._photos, description=text, completed=now.photos, total=total or None)
        self._lines = lines_of(now, self.console.width) + [
            f"stopping: {stopping}; photos in flight may finish"
        ] * bool(stopping)
        self.refresh()


def lines_of(now: RunProgress, columns: int) -> list[str]:
    """Return the lines below the bar: the sums, the stores in trouble, and the stores at work if they are few."""
    sums = [now.stores_line()] * (now.planned > 1) + [now.trouble_line()] * bool(now.troubled)
    shown = now.stores if len(now.stores) <= SHOWN_STORES else [store for store in now.stores if store.waiting]
    width = max((len(store.title) for store in shown[:SHOWN_STORES]), default=0)
    lines = [f"  {store.title:{width}}  {_state(store, columns - width - 4)}" for store in shown[:SHOWN_STORES]]
    more = len(shown) - len(lines)
    return sums + lines + [f"  … and {counted(more, 'more store')} that wait"] * bool(more)


def _state(store: StoreProgress, columns: int) -> str:
    """Return as much of a store's state as fits, the most important first."""
    listed = f"{counted(store.pages, 'page')}, {counted(store.returns, 'return')}"
    fetched = f"{store.photos:,} of {counted(store.photos + store.pending, 'photo')}, {human_bytes(store.size)}"
    listing = f"listing {store.listing}: {listed}" if store.listing else f"{counted(store.returns, 'return')} listed"
    state, *more = filter(None, [store.waiting, fetched, listing])
    for part in more:
        state += f"; {part}" * (len(state) + len(part) + 2 <= columns)
    return state


async def show_live(run: Run) -> None:
    """Show how far the run is until cancelled."""
    with RunView(Console(stderr=True)) as view:
        while True:
            now = await run.overview()
            view.show(now, run.stop.reason if run.stop.requested else "")
            await asyncio.sleep(REDRAW_SECONDS[len(now.stores) > SHOWN_STORES])
