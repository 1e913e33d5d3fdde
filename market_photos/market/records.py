"""From the bodies of answers to returns, stores and scopes.

Any JSON is either understood or refused, never a crash. What cannot be read spoils only itself, a photo not its
return and a return not its page. It is named in words beside the rows: nobody shall believe the listing to be
complete.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from market_photos.market import damaged_json
from market_photos.market.refusals import Reaction, Refusal, clean, error_texts, parse_date
from market_photos.model import PhotoKey, Return

T = TypeVar("T")
#: Ids are kept as 64-bit numbers, as SQLite does.
MAX_ID = 2**63 - 1
#: The last second of the year 9999: the catalogue keeps no later one.
_MAX_MOMENT = 253_402_300_799
#: Characters of an image hash that a URL still holds, whatever they are.
_MAX_HASH = 1000


def _number(value: Any) -> Any:
    """Raise ValueError where pydantic would take something else for a number: true for 1, "1_0" for 10."""
    if isinstance(value, bool) or (isinstance(value, str) and not (value.isascii() and value.isdecimal())):
        raise ValueError("it is no number")
    return value


Id = Annotated[int, BeforeValidator(_number), Field(ge=0, le=MAX_ID)]
_ID: TypeAdapter[int] = TypeAdapter(Id)


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return value if len(value) <= 100 and value.isprintable() else clean(value, 100)


#: For people: printable, and missing where it is no text.
Text = Annotated[str | None, BeforeValidator(_text)]


class _View(BaseModel):
    """The part of a record that we rely on; all else is kept in the record as it came."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Return(_View):
    id: Id
    orderId: Id  # noqa: N815 - the API's name
    items: Any = None
    creationDate: Text = None  # noqa: N815
    updateDate: Text = None  # noqa: N815


class Campaign(_View):
    """A campaign as GET /v2/campaigns shows it."""

    id: Id
    domain: Text = None
    placementType: Text = None  # noqa: N815
    apiAvailability: Text = None  # noqa: N815

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
    """Records and photos that could not be read, in words."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of returns as it came: what comes next is known, its records are yet to be read."""

    records: list[Any]
    next_token: str | None
    unreadable: tuple[str, ...] = ()
    """Records that were damaged, in words."""


class PageTokenLost(Refusal):
    """A page of returns whose records can be read, but not what page comes next."""

    def __init__(self, refusal: Refusal, page: Listing) -> None:
        super().__init__(refusal.reaction, refusal.reason, refusal.status)
        self.page = page


def parse_listing(body: bytes) -> Listing:
    """Raises Refusal (RETRY) where the body is not a page of returns, PageTokenLost where only its token is none."""
    content, unreadable = _object(body, depth=3)
    result = _result(content)
    records = _list(result, "returns")
    if unreadable:
        records = [record for record in records if record is not None]
    try:
        return Listing(records, _next_token(result), unreadable)
    except Refusal as refusal:
        raise PageTokenLost(refusal, Listing(records, None, unreadable)) from refusal


def read_returns(campaign: int, records: Iterable[Any]) -> tuple[list[Return], list[str]]:
    """The returns, and what could not be read, in words."""
    rows: list[Return] = []
    unreadable: list[str] = []
    for record in records:
        try:
            rows.append(_parse_return(campaign, record, unreadable))
        except ValidationError as error:
            unreadable.append(f"return {_named(record)}: {_first_problem(error)}")
    return rows, unreadable


def parse_return(campaign: int, body: bytes) -> Page[Return]:
    """A page of one. Raises Refusal (RETRY) where the body is not the record of a return."""
    content, problems = _object(body, depth=1)
    unreadable = list(problems)
    try:
        row = _parse_return(campaign, _result(content), unreadable)
    except ValidationError as error:
        _unlike(_first_problem(error))
    return Page([row], None, tuple(unreadable))


def parse_campaigns(body: bytes) -> Page[Campaign]:
    """Raises Refusal (RETRY) where the body is not a page of campaigns."""
    content, problems = _object(body, depth=2)
    rows, unreadable = [], list(problems)
    for record in _list(content, "campaigns"):
        if record is None and problems:
            continue
        try:
            rows.append(Campaign.model_validate(record))
        except ValidationError as error:
            unreadable.append(f"a campaign: {_first_problem(error)}")
    return Page(rows, _next_token(content), tuple(unreadable))


def parse_key_info(body: bytes) -> KeyInfo:
    """Raises Refusal (RETRY) where the body does not describe a key."""
    key = _result(_object(body, depth=1)[0]).get("apiKey")
    scopes = key.get("authScopes") if isinstance(key, dict) else None
    if not isinstance(key, dict) or not isinstance(scopes, list):
        _unlike("it does not describe the key")
    return KeyInfo(clean(key.get("name") or "", 100), tuple(clean(scope, 100) for scope in scopes))


def _parse_return(campaign: int, record: Any, unreadable: list[str]) -> Return:
    """The return with the photos that can be asked for; the others are named in `unreadable`."""
    view = _Return.model_validate(record)
    problems: list[str] = []
    photos: dict[PhotoKey, None] = {}
    for item, image in _images(view.items, problems):
        if not _encodable(image):
            problems.append(f"the image hash {clean(image, 40)!r} is not valid text")
        elif len(image) > _MAX_HASH:
            problems.append(f"the image hash {clean(image, 40)!r}… has {len(image)} characters")
        elif (item_id := _id_or_none(item)) is None:
            problems.append("a photo without a usable returnItemId cannot be asked for")
        else:
            photos[PhotoKey(campaign, view.orderId, view.id, item_id, image)] = None
    unreadable += [f"return {view.id}: {problem}" for problem in dict.fromkeys(problems)]
    created, updated = view.creationDate or "", view.updateDate or ""
    created_at = min(max(0, int(parse_date(created) or parse_date(updated) or 0)), _MAX_MOMENT)
    return Return(campaign, view.orderId, view.id, created, created_at, updated, record, tuple(photos))


def _images(items: Any, problems: list[str]) -> Iterator[tuple[Any, str]]:
    """(returnItemId as it came, image hash) of every photo in a return's items."""
    for item in _each(items, dict, "items", problems):
        for decision in _each(item.get("decisions"), dict, "decisions", problems):
            for image in _each(decision.get("images"), str, "images", problems):
                if image:
                    yield decision.get("returnItemId"), image


def _each(rows: Any, kind: type[T], name: str, problems: list[str]) -> Iterator[T]:
    """The rows of that kind. The API says null for none; anything else that is not a row is a problem."""
    if not isinstance(rows, list | None):
        problems.append(f"its {name} are no list")
        return
    for row in rows or ():
        if isinstance(row, kind):
            yield row
        elif row is not None:
            problems.append(f"one of its {name} is of another shape")


def _id_or_none(value: Any) -> int | None:
    if type(value) is int and 0 <= value <= MAX_ID:  # as good as always
        return value
    try:
        return _ID.validate_python(value)
    except ValidationError:
        return None


def _object(body: bytes, depth: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The content, and what of it is damaged, in words. `depth`: of the brackets around its records."""
    problems: list[str] = []
    try:
        try:
            content = damaged_json.loads(body)
        except (ValueError, RecursionError):
            content, problems = damaged_json.mend(body, depth)
    except (ValueError, RecursionError):
        _unlike(f"it is no JSON but begins with {clean(body[:4096].decode('ascii', 'replace'), 40)!r}")
    if not isinstance(content, dict):
        _unlike("it is JSON of another shape")
    if content.get("status") == "ERROR":
        codes, messages = error_texts(body)
        _unlike(f"it says ERROR: {messages or codes}")
    return content, tuple(clean(problem, 300) for problem in problems)


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
    if not isinstance(paging, dict | None):
        _unlike("its paging is of another shape")
    token = paging.get("nextPageToken") if paging else None
    if token is not None and not (isinstance(token, str) and _encodable(token)):
        _unlike("its page token is no text")
    return token or None


def _encodable(text: str) -> bool:
    """Whether the text is as the server meant it: half a character, or U+FFFD for one, is not."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" or char == "\ufffd" for char in text)


def _unlike(what: str) -> NoReturn:
    raise Refusal(Reaction.RETRY, f"the answer is not what the API documents: {what}", 200)


def _named(record: Any) -> str:
    return clean(record.get("id"), 40) if isinstance(record, dict) else "(not an object)"


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc']) or 'record'}: {detail['msg']}"
