"""List into a temporary catalogue, so that a dry run changes nothing."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from market_photos.archive.catalog.catalog import Catalog
from market_photos.clock import Clock
from market_photos.errors import ArchiveUnwritable


@asynccontextmanager
async def scratch(real: Catalog, clock: Clock) -> AsyncIterator[Catalog]:
    """Open a temporary catalogue for a dry run, with the real one's watermark and finished windows."""
    try:
        folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="market-photos-")
    except OSError as error:
        raise ArchiveUnwritable(
            f"--dry-run: cannot make a temporary folder: {error.strerror}.",
            "Set TMPDIR to a folder that can be written to.",
        ) from error
    async with AsyncExitStack() as opened:
        opened.push_async_callback(asyncio.to_thread, folder.cleanup)
        catalog = await asyncio.to_thread(Catalog, Path(folder.name), real.campaign, clock)
        opened.push_async_callback(asyncio.to_thread, catalog.close)
        watermark, windows = await real.do(lambda: (real.returns.watermark(), real.returns.finished_windows()))
        await catalog.do(_begin_where, catalog, watermark, windows)
        yield catalog


def _begin_where(catalog: Catalog, watermark: int | None, windows: set[tuple[str, str]]) -> None:
    if watermark is not None:
        catalog.returns.move_watermark(watermark)
    for window in windows:
        catalog.returns.finish_window(*window)
