"""Objects in a bucket, with conditional puts. The only module that speaks with object storage.

Keys come from AWS_* in the environment or from the machine's role. Methods block unless their name says otherwise,
and raise ArchiveUnwritable.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store
from yarl import URL

from market_photos.console import redact
from market_photos.errors import ArchiveUnwritable
from market_photos.text import one_line

#: Environment variables whose values appear in no message. A server repeats the id of a key in its refusals.
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
#: Seconds for one request of a photo or a checkpoint, and after which it is not repeated any more.
LONG_SECONDS = 60
LONG_RETRY_SECONDS = 30
#: The same for small objects: a store's catalogue waits for them, and a run that is cut off has to end.
SHORT_SECONDS = 10
SHORT_RETRY_SECONDS = 15
RETRIES = 5
#: Bytes up to which an object is small.
SMALL_BYTES = 256 * 1024
#: Bytes of an object that are in memory at once while it is read to its end.
CHUNK_BYTES = 1024 * 1024
_CODE = re.compile(r"<Code>(.*?)</Code>")
_MESSAGE = re.compile(r"<Message>(.*?)</Message>")
_ABOUT_THE_KEY = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Unauthorized", "403 Forbidden")
_NO_SUCH_RANGE = "416 Range Not Satisfiable"
_SHOWN = 300


class Conflict(Exception):
    """The condition of a put does not hold: the object is there already, or has changed."""


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
    """The objects below one prefix of a bucket."""

    def __init__(self, url: str, endpoint: str | None) -> None:
        """`url`: `s3://bucket/prefix`."""
        for name in SECRETS:
            redact.hide(os.environ.get(name, ""))
        self.url = url.rstrip("/")
        self._store = _store(URL(url), endpoint, LONG_SECONDS, LONG_RETRY_SECONDS)
        self._small = _store(URL(url), endpoint, SHORT_SECONDS, SHORT_RETRY_SECONDS)
        self._once = _store(URL(url), endpoint, SHORT_SECONDS, 0)
        self.quotes_etag = True
        """Whether this server wants the quotes of an ETag in If-Match."""

    def put(self, key: str, content: bytes | Path, attributes: Mapping[str, str] | None = None) -> None:
        """Write an object, or replace it, in one request."""
        is_small = isinstance(content, bytes) and len(content) <= SMALL_BYTES
        with self._errors(key):
            obstore.put(
                self._small if is_small else self._store,
                key,
                content,
                attributes=_attributes(attributes),
                use_multipart=False,
            )

    def create(self, key: str, content: bytes) -> str:
        """Write an object that does not exist, in one attempt; return its ETag. Raises Conflict if it exists."""
        with self._errors(key):
            return str(obstore.put(self._once, key, content, mode="create")["e_tag"])

    async def create_async(self, key: str, content: bytes | Path, attributes: Mapping[str, str]) -> None:
        """Write an object that does not exist, in one request. Raises Conflict if it exists."""
        with self._errors(key):
            await obstore.put_async(
                self._store, key, content, attributes=_attributes(attributes), mode="create", use_multipart=False
            )

    def swap(self, key: str, content: bytes, etag: str) -> str:
        """Replace the object that has this ETag, in one attempt; return the new ETag. Raises Conflict otherwise."""
        condition: Any = {"e_tag": etag if self.quotes_etag else etag.strip('"')}
        try:
            with self._errors(key):
                return str(obstore.put(self._once, key, content, mode=condition)["e_tag"])
        except FileNotFoundError:
            raise Conflict from None

    def get(self, key: str) -> Found | None:
        """Return an object with its content, or None."""
        try:
            with self._errors(key):
                answer = obstore.get(self._store, key)
                return _found(answer.meta, bytes(answer.bytes()), answer.attributes)
        except FileNotFoundError:
            return None

    def head(self, key: str) -> Found | None:
        """Return an object without its content, but with its attributes, or None."""
        try:
            return self.piece(key, 0, 1)._replace(content=b"")  # a HEAD has no attributes
        except FileNotFoundError:
            return None

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield the content of an object. Raises FileNotFoundError."""
        with self._errors(key):
            for chunk in obstore.get(self._store, key).stream(CHUNK_BYTES):
                yield bytes(chunk)

    def piece(self, key: str, start: int, size: int) -> Found:
        """Return an object with so many bytes of its content, or as many as there are. Raises FileNotFoundError."""
        with self._errors(key):
            try:
                answer = obstore.get(self._store, key, options={"range": (start, start + size)})
            except BaseError as error:
                if _NO_SUCH_RANGE not in str(error):
                    raise
                answer = obstore.get(self._store, key)  # which is empty, or shorter than `start`
                return _found(answer.meta, b"", answer.attributes)
            return _found(answer.meta, bytes(answer.bytes()), answer.attributes)

    def move(self, key: str, target: str) -> None:
        """Give an object another key. A crash in between leaves both."""
        with self._errors(key):
            obstore.copy(self._store, key, target)
        self.remove(key)

    def walk(self, prefix: str) -> Iterator[Found]:
        """Yield the objects below a prefix, which ends at a `/`, in the order of their keys."""
        with self._errors(prefix):
            for batch in obstore.list(self._store, prefix):
                for meta in batch:
                    yield _found(meta)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the names directly below a prefix that have objects below them."""
        with self._errors(prefix):
            found = obstore.list_with_delimiter(self._small, prefix or None)["common_prefixes"]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, *keys: str) -> None:
        """Remove objects; those that are missing are no error."""
        for key in keys:
            try:
                with self._errors(key):
                    obstore.delete(self._store, key)
            except FileNotFoundError:
                continue

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise Conflict from error
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._unusable(key, error) from None
            raise FileNotFoundError(errno.ENOENT, "there is no such object", f"{self.url}/{key}") from None
        except BaseError as error:
            raise self._unusable(key, error) from None  # its text has the request, signed

    def _unusable(self, key: str, error: Exception) -> ArchiveUnwritable:
        return ArchiveUnwritable(f"{self.url}/{key}: {reason_of(error)}.", _hint(error))


def _store(url: URL, endpoint: str | None, seconds: float, retry_seconds: float) -> S3Store:
    config: Any = {"virtual_hosted_style_request": False}
    if endpoint:
        config["endpoint"] = endpoint
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        config["region"] = "us-east-1"
    return S3Store(
        url.host or "",
        prefix=url.path.strip("/") or None,
        config=config,
        client_options={
            "allow_http": bool(endpoint and endpoint.startswith("http:")),
            "connect_timeout": f"{SHORT_SECONDS}s",
            "timeout": f"{seconds}s",
        },
        retry_config={
            "max_retries": RETRIES if retry_seconds else 0,
            "retry_timeout": timedelta(seconds=retry_seconds),
        },
    )


def _attributes(attributes: Mapping[str, str] | None) -> Any:
    return dict(attributes) if attributes else None


def _found(meta: Any, content: bytes = b"", attributes: Any = None) -> Found:
    modified = meta["last_modified"].timestamp()
    return Found(meta["path"], meta["size"], float(int(modified)), meta["e_tag"] or "", content, attributes or {})


def reason_of(error: Exception) -> str:
    """Return what the storage says, as one line without secrets."""
    text = redact(str(error))
    code, message = _CODE.search(text), _MESSAGE.search(text)
    if code:
        found = f"the storage answers {code[1]}" + (f": {message[1]}" if message else "")
    else:
        found = text.partition("\n")[0].rpartition(" - ")[2]
    return one_line(found)[:_SHOWN].rstrip(".")


def _hint(error: Exception) -> str:
    text = str(error)
    if "NoSuchBucket" in text:
        return "Check url in [archive], or make the bucket."
    if any(word in text for word in _ABOUT_THE_KEY):
        return "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may read and write in this bucket."
    return "Check endpoint in [archive] and the network; the same command then goes on."
