"""Show a run live on a terminal. A module of its own: rich takes long to import, and cron needs none of it."""

import asyncio

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from market_photos.sync.progress import SHOWN_STORES
from market_photos.sync.run import Run

REDRAW_SECONDS = 0.5
BAR_WIDTH = 20


async def show_live(run: Run) -> None:
    """Show a bar and the counters of each store until cancelled."""
    text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    with Progress(
        BarColumn(BAR_WIDTH), text, console=Console(stderr=True), transient=True, auto_refresh=False
    ) as progress:
        note = progress.add_task("asking for the list of stores", total=None)
        bars: dict[str, TaskID] = {}
        while True:
            stores = {now.title: now for now in await run.progress(SHOWN_STORES)}
            for title in bars.keys() - stores.keys():
                progress.remove_task(bars.pop(title))
            for title, now in stores.items():
                if title not in bars:
                    bars[title] = progress.add_task("", visible=False)
                progress.update(
                    bars[title],
                    description="\n".join(now.lines()),
                    completed=now.photos,
                    total=(now.photos + now.pending) or None,
                    visible=True,
                )
            sums = await run.overview()
            if run.stop.requested:
                progress.update(note, description=f"stopping: {run.stop.reason}; photos in flight may finish")
            elif sums:
                progress.update(note, description=sums)
            progress.update(note, visible=not stores or run.stop.requested or bool(sums))
            progress.refresh()
            await asyncio.sleep(REDRAW_SECONDS)
