"""From the bodies of answers to returns, stores and scopes.

Any JSON is either understood or refused, never a crash. A record that cannot be read spoils only itself: it is named
in `Page.unreadable`, so that nobody believes the listing to be complete.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from market_photos.market.protocol import Act, Refusal, clean, error_texts, parse_date
from market_photos.model import PhotoKey, Return

T = TypeVar("T")
#: Ids are kept as 64-bit numbers, as SQLite does.
Id = Annotated[int, Field(ge=0, le=2**63 - 1)]


class _View(BaseModel):
    """The part of a record that we rely on; all else is kept in the record as it came."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Decision(_View):
    returnItemId: Id | None = None  # noqa: N815 - the API's name
    images: list[str | None] | None = None


class _Item(_View):
    decisions: list[_Decision | None] | None = None


class _Return(_View):
    id: Id
    orderId: Id  # noqa: N815
    items: list[_Item | None] | None = None
    creationDate: str | None = None  # noqa: N815
    updateDate: str | None = None  # noqa: N815


class Store(_View):
    """A campaign as GET /v2/campaigns shows it."""

    id: Id
    domain: str | None = None
    placementType: str | None = None  # noqa: N815
    apiAvailability: str | None = None  # noqa: N815

    def why_skipped(self) -> str:
        """Why this store's photos cannot be fetched; empty where they can."""
        if self.apiAvailability not in {None, "AVAILABLE"}:
            return f"its API is {self.apiAvailability}: every request would be refused"
        if self.placementType == "LAAS":
            return "it is a LAAS store: the API has no photos of its returns"
        return ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing."""

    rows: list[T]
    next_token: str | None
    unreadable: tuple[str, ...] = ()
    """Records that could not be read, in words."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    name: str
    scopes: tuple[str, ...]


def parse_returns(campaign: int, body: bytes) -> Page[Return]:
    """Raises Refusal (RETRY) where the body is not a page of returns."""
    result = _result(_object(body))
    rows: list[Return] = []
    unreadable: list[str] = []
    for record in _list(result, "returns"):
        try:
            parsed = _parse_return(campaign, record, unreadable)
        except ValidationError as error:
            unreadable.append(f"return {_named(record)}: {_first_problem(error)}")
        else:
            rows.append(parsed)
    return Page(rows, _next_token(result), tuple(unreadable))


def parse_return(campaign: int, body: bytes) -> Page[Return]:
    """A page of one. Raises Refusal (RETRY) where the body is not the record of a return."""
    unreadable: list[str] = []
    try:
        row = _parse_return(campaign, _result(_object(body)), unreadable)
    except ValidationError as error:
        _unlike(_first_problem(error))
    return Page([row], None, tuple(unreadable))


def parse_campaigns(body: bytes) -> Page[Store]:
    """Raises Refusal (RETRY) where the body is not a page of campaigns."""
    content = _object(body)
    rows, unreadable = [], []
    for record in _list(content, "campaigns"):
        try:
            rows.append(Store.model_validate(record))
        except ValidationError as error:
            unreadable.append(f"a campaign: {_first_problem(error)}")
    return Page(rows, _next_token(content), tuple(unreadable))


def parse_key_info(body: bytes) -> KeyInfo:
    """Raises Refusal (RETRY) where the body does not describe a key."""
    key = _result(_object(body)).get("apiKey")
    scopes = key.get("authScopes") if isinstance(key, dict) else None
    if not isinstance(key, dict) or not isinstance(scopes, list):
        _unlike("it does not describe the key")
    return KeyInfo(clean(key.get("name") or "", 100), tuple(clean(scope, 100) for scope in scopes))


def _parse_return(campaign: int, record: Any, unreadable: list[str]) -> Return:
    """The return with the photos that can be asked for; the others are named in `unreadable`."""
    view = _Return.model_validate(record)
    photos: dict[PhotoKey, None] = {}
    decisions = (decision for item in view.items or () if item for decision in item.decisions or () if decision)
    for decision in decisions:
        for image in filter(None, decision.images or ()):
            if decision.returnItemId is None:
                unreadable.append(f"return {view.id}: a photo without returnItemId cannot be asked for")
            elif not _encodable(image):
                unreadable.append(f"return {view.id}: the image hash {clean(image, 40)!r} is not valid text")
            else:
                photos[PhotoKey(campaign, view.orderId, view.id, decision.returnItemId, image)] = None
    created, updated = clean(view.creationDate or "", 40), clean(view.updateDate or "", 40)
    created_at = int(parse_date(created) or parse_date(updated) or 0)
    return Return(campaign, view.orderId, view.id, created, created_at, updated, record, tuple(photos))


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _unlike(f"it is no JSON but begins with {clean(body[:40].decode('ascii', 'replace'), 40)!r}")
    if not isinstance(content, dict):
        _unlike("it is JSON of another shape")
    if content.get("status") == "ERROR":
        codes, messages = error_texts(body)
        _unlike(f"it says ERROR: {messages or codes}")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _result(content: dict[str, Any]) -> dict[str, Any]:
    result = content.get("result")
    if not isinstance(result, dict):
        _unlike("it has no result")
    return result


def _list(content: dict[str, Any], name: str) -> list[Any]:
    """Absent or of another shape is not empty: a listing must not look complete when it is not."""
    rows = content.get(name)
    if not isinstance(rows, list):
        _unlike(f"it has no list of {name}")
    return rows


def _next_token(content: dict[str, Any]) -> str | None:
    paging = content.get("paging")
    token = paging.get("nextPageToken") if isinstance(paging, dict) else None
    if token is not None and not (isinstance(token, str) and _encodable(token)):
        _unlike("its page token is no text")
    return token or None


def _encodable(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _unlike(what: str) -> NoReturn:
    raise Refusal(Act.RETRY, f"the answer is not what the API documents: {what}", 200)


def _named(record: Any) -> str:
    return clean(record.get("id"), 40) if isinstance(record, dict) else "(not an object)"


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc']) or 'record'}: {detail['msg']}"
