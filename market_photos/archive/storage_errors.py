"""What the errors of a storage mean, and how they are told: in one line, with what to do, and without secrets."""

import errno
import re

from market_photos.console import redact
from market_photos.errors import ArchiveUnwritable, StoreUnwritable
from market_photos.text import one_line, without_password

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(.*?)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
#: Statuses by which a condition does not hold; a swap of what is missing is answered with 404.
_CONFLICT = frozenset({304, 404, 412})
#: Statuses that pass; 0: there was no answer. 409 tells of two requests for one key at once.
_PASSING = frozenset({0, 408, 409, 425, 429, 500, 502, 503, 504})
_NOT_SUPPORTED = 501
_NO_BUCKET = "NoSuchBucket"
#: The key is known, and may not do this: a policy or a retention lock may concern one folder only.
_DENIED = "AccessDenied"
#: The last one is where a machine asks for its role if there is no key.
_ABOUT_THE_KEY = (
    _DENIED,
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "Unauthorized",
    "403 Forbidden",
    "169.254.169.254",
)
_SHOWN = 300
_ORIGIN = re.compile(r"performing \w+ (https?://[^/\s]+)")
#: The name of a field in the source of an error.
_FIELD = re.compile(r"^\w+: ")
#: Causes that obstore gives by a name of its source code, in words; the others are shown as they are.
_CAUSES = {
    "TimedOut": "it takes too long",
    "InvalidContentType": "it does not speak https",
    "Version": "it does not speak http",
    "IncompleteMessage": "it closes the connection",
    "IncompleteBody": "it closes the connection",
    "UnknownIssuer": "nobody whom this machine trusts has signed its certificate",
    "ProxyAuthRequired": "the proxy wants a user and a password",
}


class Conflict(Exception):
    """The condition of a put does not hold: the object is there already, or has changed."""


class PassingFault(ArchiveUnwritable):
    """The storage did not answer, or asks to be left alone for a moment: the same request may succeed later."""


class NotSupported(ArchiveUnwritable):
    """The storage does not know what it is asked for."""


def error_of(error: Exception, address: str, *, is_generic: bool) -> Exception:
    """Return the error to raise for one of obstore, which holds the signed request.

    `is_generic`: whether obstore has no class for it. Without a status there was no answer then.
    """
    found = _STATUS.search(str(error))
    status = int(found[1]) if found else 0 if is_generic else 400
    if status in _CONFLICT and _NO_BUCKET not in str(error):
        return Conflict()
    return _kind(status, str(error))(f"{address}: {reason_of(error)}.", _hint(error))


def _kind(status: int, text: str) -> type[ArchiveUnwritable]:
    if status in _PASSING:
        return PassingFault
    if status == _NOT_SUPPORTED:
        return NotSupported
    return StoreUnwritable if _DENIED in text else ArchiveUnwritable


def missing(error: FileNotFoundError, address: str) -> Exception:
    """Return the error to raise for a missing object, or bucket."""
    if _NO_BUCKET in str(error):
        return ArchiveUnwritable(f"{address}: {reason_of(error)}.", _hint(error))
    return FileNotFoundError(errno.ENOENT, "there is no such object", address)


def reason_of(error: BaseException) -> str:
    """Return what the storage says, as one line without secrets."""
    text = redact(str(error))
    code, message = _CODE.search(text), _MESSAGE.search(text)
    if code:
        found = f"the storage answers {code[1]}" + (f": {message[1]}" if message else "")
    else:
        first, _, source = text.partition("\n")
        found = first.rpartition(" - ")[2]
        if origin := _ORIGIN.search(first):
            cause = _innermost(source) if found.startswith("HTTP error") else ""
            found = f"no usable answer from {without_password(origin[1])}: {cause or found}"
    return one_line(found)[:_SHOWN].rstrip(".: ")


def _innermost(source: str) -> str:
    """Return the innermost cause of an error, whose fields stand each on a line that is indented by its depth."""
    deepest = max(reversed(source.splitlines()), key=lambda line: len(line) - len(line.lstrip()), default="")
    cause = _FIELD.sub("", deepest.strip().rstrip(",")).strip('"')
    return _CAUSES.get(cause, cause)


def _hint(error: Exception) -> str:
    text = str(error)
    if _NO_BUCKET in text:
        return "Check the name of the bucket in url of [archive], or in --to of copy; or make the bucket."
    if any(word in text for word in _ABOUT_THE_KEY):
        return "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may read and write in this bucket."
    return "Check endpoint in [archive], or --endpoint of copy, and the network; the same command then goes on."
