"""Send a file piece by piece. It is read in threads, as the connection takes it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, BinaryIO

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from market_photos.errors import MarketPhotosError

log = logging.getLogger(__name__)
#: Bytes that are read at once.
CHUNK = 256 * 1024


class FileStream(web.StreamResponse):
    """The next bytes of a file, which is closed in the end.

    Where it cannot be read to the end, the connection is cut: nobody takes a part for the whole.
    """

    def __init__(
        self, file: BinaryIO, size: int, threads: Executor, *, status: int = 200, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status=status, headers=headers)
        self.content_length = size
        self._file = file
        self._left = size
        self._threads = threads
        self._request: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers."""
        self._request = request
        try:
            return await super().prepare(request)
        except BaseException:
            self._close()
            raise

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the bytes, and end the response. Raises ConnectionError."""
        assert self._request  # noqa: S101 - prepared before
        try:
            while self._left and self._request.method != "HEAD":
                chunk = await self._read(self._request)
                self._left -= len(chunk)
                await self.write(chunk)
            await super().write_eof(data)
        finally:
            self._close()

    async def _read(self, request: web.BaseRequest) -> bytes:
        """Return the next bytes. Raises ConnectionError after the connection was cut."""
        reading = asyncio.get_running_loop().run_in_executor(self._threads, self._file.read, min(CHUNK, self._left))
        reason: Any = "it is shorter than before"
        try:
            if chunk := await reading:
                return chunk
        except (OSError, MarketPhotosError) as error:
            reason = error
        log.warning("%s: cut off, %s bytes are left: %s", request.path, self._left, reason)
        if request.transport:
            request.transport.abort()
        raise ConnectionResetError(request.path)

    def _close(self) -> None:
        close_in(self._threads, self._file.close)


def close_in(threads: Executor, close: Callable[[], None]) -> None:
    """Close a file in a thread, as it may be at a read that was given up; at once where the threads have ended."""

    def closed(done: "Future[None]") -> None:
        if done.cancelled():
            close()

    try:
        threads.submit(close).add_done_callback(closed)
    except RuntimeError:
        close()
