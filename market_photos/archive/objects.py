"""Objects in a bucket, with conditional puts. The only module that speaks with object storage.

Keys come from AWS_* in the environment or from the machine's role. Methods block unless their name says otherwise,
and raise ArchiveUnwritable.
"""

import asyncio
import copy
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import obstore
from obstore.exceptions import BaseError, GenericError
from obstore.store import S3Store
from yarl import URL

from market_photos.archive.patience import Patience
from market_photos.archive.storage_errors import Conflict, PassingFault, error_of, missing, reason_of
from market_photos.console import redact
from market_photos.errors import ConfigError

T = TypeVar("T")
#: Environment variables that hold the key. Together or none of them.
KEY = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
#: Environment variables whose values appear in no message. A server repeats the id of a key in its refusals.
SECRETS = (*KEY, "AWS_SESSION_TOKEN", "AWS_TOKEN")
#: Environment variables that stand in headers or addresses as they are.
VERBATIM = (*SECRETS, "AWS_REGION", "AWS_DEFAULT_REGION")
#: Seconds for which a request is repeated.
REPEAT_SECONDS = 30.0
#: The same under a lease: longer than a lease lasts, so that its end decides.
HELD_REPEAT_SECONDS = 120.0
#: Seconds for one request with a small body, with its answer.
SHORT_SECONDS = 10
#: Bytes up to which a body is small. For a larger one the seconds double with its size, and with each attempt, as the
#: line may be slow.
SMALL_BYTES = 16 * 1024
MEDIUM_BYTES = 1024 * 1024
MOST_DOUBLINGS = 10
#: Seconds for a stream, and without any byte of it.
STREAM_SECONDS = 6 * 3600
SILENT_SECONDS = 60
#: Bytes of an object that are in memory at once while it is read to its end.
CHUNK_BYTES = 1024 * 1024
#: Photos that are uploaded at the same time, lest each takes its share of a slow line for too long.
UPLOADS = 32
#: What obstore raises for an address that it cannot use. No module has this class.
_PANIC = "PanicException"
_CHECK = "Check [archive] and the variables AWS_*."
_NO_SUCH_RANGE = "416 Range Not Satisfiable"


class Found(NamedTuple):
    """An object."""

    key: str
    size: int
    modified: float
    """Seconds since 1970 by the clock of the storage, in whole seconds."""
    etag: str
    content: bytes = b""
    attributes: Mapping[str, str] = {}


class Bucket:
    """The objects below one prefix of a bucket. A request is repeated as patience.py says, whatever it is."""

    def __init__(self, url: str, endpoint: str | None, patience: Patience | None = None) -> None:
        """`url`: `s3://bucket/prefix`. Raises ConfigError where the environment holds no whole key."""
        require_whole_key(os.environ)
        for name in SECRETS:
            redact.hide(os.environ.get(name, ""))
        self.url = url.rstrip("/")
        self._endpoint = endpoint
        self._patience = patience or Patience(REPEAT_SECONDS)
        self._stores: dict[int, S3Store] = {}
        """By the seconds for one request."""
        self._streaming = _streaming_store(URL(url), endpoint)
        self._uploads = asyncio.Semaphore(UPLOADS)
        self.quotes_etag = True
        """Whether this server wants the quotes of an ETag in If-Match."""
        self.is_probed = False
        """Whether the probe has found that, and that this server keeps the conditions of puts."""

    def while_valid(self, require_valid: Callable[[], None]) -> "Bucket":
        """Return the same bucket, for the holder of a lease.

        It calls `require_valid` before each attempt at a request, which raises an error once the lease is lost.
        """
        held = copy.copy(self)
        held._patience = replace(self._patience, seconds=HELD_REPEAT_SECONDS, require=require_valid)
        return held

    def put(self, key: str, content: bytes | Path, attributes: Mapping[str, str] | None = None) -> None:
        """Write an object, or replace it, in one request."""
        self._do(key, lambda store: obstore.put(store, key, content, **_options(attributes)), size=_size(content))

    def create(self, key: str, content: bytes) -> str:
        """Write an object that does not exist; return its ETag. Raises Conflict if it exists with other content."""
        return self._put_if(key, content, "create")

    def swap(self, key: str, content: bytes, etag: str) -> str:
        """Replace the object that has this ETag; return the new one. Raises Conflict where none has it."""
        return self._put_if(key, content, {"e_tag": etag if self.quotes_etag else etag.strip('"')})

    def _put_if(self, key: str, content: bytes, mode: Any) -> str:
        """Put an object under a condition, which makes a repetition safe: what is there already counts as done."""
        try:
            return str(self._do(key, lambda store: obstore.put(store, key, content, mode=mode)["e_tag"]))
        except (Conflict, FileNotFoundError):
            found = self.get(key)
            if found and found.content == content:  # by an attempt whose answer was lost
                return found.etag
            raise Conflict from None

    async def create_async(self, key: str, content: bytes | Path, attributes: Mapping[str, str]) -> None:
        """Write an object that does not exist, in one request. Raises Conflict if it exists, whatever it is."""

        async def create(store: S3Store) -> None:
            await obstore.put_async(store, key, content, mode="create", **_options(attributes))

        async with self._uploads:
            await self._do_async(key, create, size=_size(content))

    def get(self, key: str) -> Found | None:
        """Return an object with its content, or None."""
        with suppress(FileNotFoundError):
            return self._do(key, lambda store: _read(store, key))
        return None

    def head(self, key: str) -> Found | None:
        """Return an object without its content, but with its attributes, or None."""
        with suppress(FileNotFoundError):
            return self.piece(key, 0, 1)._replace(content=b"")  # a HEAD has no attributes
        return None

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield the content of an object. Raises FileNotFoundError."""
        with self._errors(key):
            for chunk in obstore.get(self._streaming, key).stream(CHUNK_BYTES):
                yield bytes(chunk)

    def piece(self, key: str, start: int, size: int) -> Found:
        """Return an object with so many bytes of its content, or as many as there are. Raises FileNotFoundError."""
        return self._do(key, lambda store: _piece(store, key, start, size), size=size)

    def copy(self, key: str, target: str) -> None:
        """Copy an object to another key, within the storage."""
        self._do(key, lambda store: obstore.copy(store, key, target), size=MEDIUM_BYTES)

    def walk(self, prefix: str) -> Iterator[Found]:
        """Yield the objects below a prefix, which ends at a `/`, in the order of their keys."""
        with self._errors(prefix):
            for batch in obstore.list(self._streaming, prefix):
                for meta in batch:
                    yield _found(meta)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the names directly below a prefix that have objects below them."""
        found = self._do(prefix, lambda store: obstore.list_with_delimiter(store, prefix or None)["common_prefixes"])
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, *keys: str) -> None:
        """Remove objects; those that are missing are no error."""
        for key in keys:
            with suppress(FileNotFoundError):
                self._do(key, partial(obstore.delete, paths=key))

    def _do(self, key: str, request: Callable[[S3Store], T], *, size: int = 0) -> T:
        """Return what the request returns, after repetitions. `size`: the bytes that are on their way."""
        attempts = self._patience.attempts()
        while True:
            attempts.require()
            try:
                with self._errors(key):
                    return request(self._store_for(size, attempts.failed))
            except PassingFault as fault:
                pause = attempts.pause_after(fault)
            time.sleep(pause)

    async def _do_async(self, key: str, request: Callable[[S3Store], Awaitable[T]], *, size: int) -> T:
        """Do the same without blocking."""
        attempts = self._patience.attempts()
        while True:
            attempts.require()
            try:
                with self._errors(key):
                    return await request(self._store_for(size, attempts.failed))
            except PassingFault as fault:
                pause = attempts.pause_after(fault)
            await asyncio.sleep(pause)

    def _store_for(self, size: int, failed: int) -> S3Store:
        """Return the store whose requests have the time that one with this body needs."""
        doublings = 0 if size <= SMALL_BYTES else (size // MEDIUM_BYTES).bit_length() + failed
        seconds = SHORT_SECONDS * 2 ** min(doublings, MOST_DOUBLINGS)
        if seconds not in self._stores:
            self._stores[seconds] = _store(
                URL(self.url), self._endpoint, {"timeout": f"{seconds}s"}, {"max_retries": 0}
            )
        return self._stores[seconds]

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turn errors of obstore into Conflict, FileNotFoundError, ArchiveUnwritable and ConfigError."""
        try:
            yield
        except FileNotFoundError as error:
            raise missing(error, f"{self.url}/{key}") from None
        except BaseError as error:  # its text has the request, signed
            raise error_of(error, f"{self.url}/{key}", is_generic=isinstance(error, GenericError)) from None
        except BaseException as error:
            if type(error).__name__ != _PANIC:
                raise
            raise ConfigError(f"{self.url}: {reason_of(error)}.", _CHECK) from None


def require_whole_key(environ: Mapping[str, str]) -> None:
    """Raise ConfigError if the key lacks a part, or a variable holds what is no part of it: obstore would panic."""
    given = [name for name in KEY if environ.get(name)]
    if len(given) == 1:
        [lacking] = set(KEY) - set(given)
        raise ConfigError(
            f"{given[0]} is set, and {lacking} is not.",
            "Set both for a key, or neither where this machine has a role.",
        )
    for name in VERBATIM:
        value = environ.get(name, "")
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            raise ConfigError(
                f"{name}: holds a space, a line break or a character that does not belong there.",
                "Often a line break is at its end: `printf %s VALUE | base64` adds none to a Kubernetes Secret.",
            )


def _streaming_store(url: URL, endpoint: str | None) -> S3Store:
    """Return a store for answers that come in pieces: obstore itself goes on where one was cut off."""
    timeouts = {"timeout": f"{STREAM_SECONDS}s", "read_timeout": f"{SILENT_SECONDS}s"}
    retries = {"max_retries": 1000, "retry_timeout": timedelta(seconds=REPEAT_SECONDS)}
    return _store(url, endpoint, timeouts, retries)


def _store(url: URL, endpoint: str | None, timeouts: dict[str, str], retries: Any) -> S3Store:
    config: Any = {"virtual_hosted_style_request": False}
    if endpoint:
        config["endpoint"] = endpoint
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        config["region"] = "us-east-1"
    client: Any = {
        "allow_http": bool(endpoint and endpoint.startswith("http:")),
        "connect_timeout": f"{SHORT_SECONDS}s",
    }
    prefix = url.path.strip("/") or None
    try:
        return S3Store(
            url.host or "", prefix=prefix, config=config, client_options=client | timeouts, retry_config=retries
        )
    except (BaseError, ValueError) as error:
        raise ConfigError(f"{url}: {reason_of(error)}.", _CHECK) from None


def _options(attributes: Mapping[str, str] | None) -> Any:
    return {"attributes": dict(attributes) if attributes else None, "use_multipart": False}


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _read(store: S3Store, key: str) -> Found:
    answer = obstore.get(store, key)
    return _found(answer.meta, bytes(answer.bytes()), answer.attributes)


def _piece(store: S3Store, key: str, start: int, size: int) -> Found:
    try:
        answer = obstore.get(store, key, options={"range": (start, start + size)})
    except BaseError as error:
        if _NO_SUCH_RANGE not in str(error):
            raise
        answer = obstore.get(store, key)  # which is empty, or shorter than `start`
        return _found(answer.meta, b"", answer.attributes)
    return _found(answer.meta, bytes(answer.bytes()), answer.attributes)


def _found(meta: Any, content: bytes = b"", attributes: Any = None) -> Found:
    modified = meta["last_modified"].timestamp()
    return Found(meta["path"], meta["size"], float(int(modified)), meta["e_tag"] or "", content, attributes or {})
