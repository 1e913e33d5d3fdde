"""The live view of a run, on a terminal. Apart from progress.py, for it takes a while to load what draws it."""

import asyncio

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from market_photos.sync.progress import look
from market_photos.sync.run import Run

REDRAW_SECONDS = 0.5


async def show_live(run: Run) -> None:
    """Until cancelled."""
    console = Console(stderr=True)
    began = asyncio.get_running_loop().time()
    with Live(Text("asking for the list of stores"), console=console, transient=True, auto_refresh=False) as live:
        while True:
            if run.stores:
                live.update(await _render(run, began, console), refresh=True)
            await asyncio.sleep(REDRAW_SECONDS)


async def _render(run: Run, began: float, console: Console) -> RenderableType:
    seconds = asyncio.get_running_loop().time() - began
    lines = [line for store in list(run.stores) for line in (await look(store, run.clock, seconds)).lines()]
    room = max(3, console.height - 2)
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} more lines"]
    note = [Text(f"stopping: {run.stop.reason}; photos in flight may finish", style="bold")] * run.stop.requested
    return Group(*(Text(line, overflow="ellipsis", no_wrap=True) for line in lines), *note)
