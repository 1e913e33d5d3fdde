"""How far a run is, for `status` in another shell: a small file beside the catalogue, replaced every few seconds.

A file and no row in the catalogue: it costs the run no commit and no lock, and losing it loses nothing. It counts
only while the store's lock is held, so what a killed run leaves misleads nobody.
"""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from market_photos.archive.layout import PART_SUFFIX
from market_photos.archive.photo_file import private, to_the_end
from market_photos.clock import Clock
from market_photos.errors import MarketPhotosError
from market_photos.reporting.progress import NAME
from market_photos.sync.progress import look
from market_photos.sync.run import Run
from market_photos.sync.store import Store

log = logging.getLogger(__name__)

#: Seconds between two writings; each counts the store's photos once.
EVERY = 5.0


async def beat(run: Run) -> None:
    """Until cancelled. What it cannot write, it leaves: nothing of this may disturb the run."""
    began = asyncio.get_running_loop().time()
    written: set[Path] = set()
    try:
        while True:
            stores = [store for store in list(run.stores) if not store.is_dry]
            for path in written - {store.folder / NAME for store in stores}:
                _remove(path)
            written = {store.folder / NAME for store in stores}
            for store in stores:
                await _write(store, run.clock, asyncio.get_running_loop().time() - began)
            await asyncio.sleep(EVERY if stores else EVERY / 10)
    finally:
        for path in written:
            _remove(path)


async def _write(store: Store, clock: Clock, seconds: float) -> None:
    try:
        view = await look(store, clock, seconds)
        content = json.dumps({"at": clock.now().wall, **asdict(view)}, ensure_ascii=True)
        await to_the_end(asyncio.to_thread(_replace, store.folder / NAME, content))  # or it comes after its removal
    except (OSError, MarketPhotosError, RuntimeError) as error:  # RuntimeError: the catalogue is being closed
        log.debug("store %s: progress is not on record: %s", store.title, error)


def _replace(path: Path, content: str) -> None:
    part = path.with_name(f".{path.name}{PART_SUFFIX}")
    try:
        with open(part, "w", encoding="ascii", opener=private) as file:
            file.write(content)
        part.replace(path)
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
