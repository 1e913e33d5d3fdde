"""Write the progress of a run for `status` in another shell: a small file beside the catalogue, replaced regularly.

A file costs the run no commit and no lock, and losing it loses nothing. It is read only while the store's lock is
held, so the file of a killed run does no harm.
"""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from market_photos.archive.atomic import replacing
from market_photos.archive.layout import PART_SUFFIX
from market_photos.errors import MarketPhotosError
from market_photos.reporting.progress import NAME
from market_photos.sync.progress import measure
from market_photos.sync.run import Run
from market_photos.sync.store import Store
from market_photos.threads import to_the_end

log = logging.getLogger(__name__)

#: Seconds between two writes.
INTERVAL = 5.0


async def write_progress(run: Run) -> None:
    """Write the file of each store until cancelled, then remove the files. Failures are logged."""
    began = asyncio.get_running_loop().time()
    written: set[Path] = set()
    try:
        while True:
            stores = {store.folder / NAME: store for store in list(run.visitor.at_work) if not store.is_dry}
            for path in written - stores.keys():
                _remove(path)
            written = set(stores)
            seconds = asyncio.get_running_loop().time() - began
            await asyncio.gather(*(_write(path, run, store, seconds) for path, store in stores.items()))
            await asyncio.sleep(INTERVAL if stores else INTERVAL / 10)
    finally:
        for path in written:
            _remove(path)


async def _write(path: Path, run: Run, store: Store, seconds: float) -> None:
    try:
        progress = await measure(store, seconds)
        content = json.dumps({"at": run.clock.now().wall, **asdict(progress)}, ensure_ascii=True)
        # A write that outlives its cancellation would make the file again after its removal.
        await to_the_end(asyncio.to_thread(_replace, path, content))
    except (OSError, MarketPhotosError, RuntimeError) as error:  # RuntimeError: the catalogue is being closed
        log.debug("store %s: the progress file is not written: %s", store.title, error)


def _replace(path: Path, content: str) -> None:
    with replacing(path, sync=False, part=path.with_name(f".{path.name}{PART_SUFFIX}")) as file:
        file.write(content.encode())


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
