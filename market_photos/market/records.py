"""Parse the API's answers: returns, stores and the key's scopes.

Any JSON is either understood or refused. A part that cannot be read costs only itself: a photo not its return, a
return not its page. It is described in words beside the records, so that the listing does not look complete.

Source: the official OpenAPI description of the Partner API, methods getReturns, getReturn, getCampaigns and
getAuthTokenInfo, November 2026.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from market_photos.market.json_body import parse_records
from market_photos.market.refusals import Reaction, Refusal, clean, error_texts, parse_date
from market_photos.model import PhotoKey, Return

T = TypeVar("T")
#: The largest id: SQLite keeps 64-bit numbers.
MAX_ID = 2**63 - 1
#: The last second of the year 9999: the catalogue keeps no later one.
_MAX_MOMENT = 253_402_300_799
#: Characters of an image hash that fit into a URL however they are encoded.
_MAX_HASH = 1000


def _number(value: Any) -> Any:
    """Return the value. Raises ValueError for what only pydantic takes for a number: true for 1, "1_0" for 10."""
    if isinstance(value, bool) or (isinstance(value, str) and not (value.isascii() and value.isdecimal())):
        raise ValueError("it is no number")
    return value


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return value if len(value) <= 100 and value.isprintable() else clean(value, 100)


Id = Annotated[int, BeforeValidator(_number), Field(ge=0, le=MAX_ID)]
_ID: TypeAdapter[int] = TypeAdapter(Id)
#: Printable text of at most 100 characters; None if the value is no text.
Text = Annotated[str | None, BeforeValidator(_text)]


class _View(BaseModel):
    """The fields of a record that this program relies on. The record itself is kept unchanged."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Return(_View):
    id: Id
    orderId: Id  # noqa: N815 - the API's name
    items: Any = None
    creationDate: Text = None  # noqa: N815
    updateDate: Text = None  # noqa: N815


class Campaign(_View):
    """A store as getCampaigns describes it."""

    id: Id
    domain: Text = None
    placementType: Text = None  # noqa: N815
    apiAvailability: Text = None  # noqa: N815

    def why_skipped(self) -> str:
        """Return why the photos of this store cannot be fetched; empty if they can."""
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
    """The name and the scopes of an API key."""

    name: str
    scopes: tuple[str, ...]


class PageTokenLost(Refusal):
    """A page of returns whose records can be read, but not the token of the next page."""

    def __init__(self, refusal: Refusal, page: Page[Any]) -> None:
        super().__init__(refusal.reaction, refusal.reason, refusal.status)
        self.page = page


def parse_listing(body: bytes) -> Page[Any]:
    """Return a page of returns with its records unread, see `read_returns`.

    Raises Refusal (RETRY) if the body is no page of returns, PageTokenLost if only its token cannot be read.
    """
    content, problems = _parse(body, depth=3)
    result = _result(content)
    records = _records(result, "returns", problems)
    try:
        return Page(records, _next_token(result), tuple(problems))
    except Refusal as refusal:
        raise PageTokenLost(refusal, Page(records, None, tuple(problems))) from refusal


def read_returns(campaign: int, records: Iterable[Any]) -> tuple[list[Return], list[str]]:
    """Return the returns, and what could not be read, in words."""
    rows: list[Return] = []
    unreadable: list[str] = []
    for record in records:
        try:
            rows.append(_read_return(campaign, record, unreadable))
        except ValidationError as error:
            name = clean(record.get("id"), 40) if isinstance(record, dict) else "(not an object)"
            unreadable.append(f"return {name}: {_first_problem(error)}")
    return rows, unreadable


def parse_return(campaign: int, body: bytes) -> Page[Return]:
    """Return a page with the one return of the body. Raises Refusal (RETRY) if the body is no return."""
    content, problems = _parse(body, depth=1)
    try:
        row = _read_return(campaign, _result(content), problems)
    except ValidationError as error:
        _refuse(_first_problem(error))
    return Page([row], None, tuple(problems))


def parse_campaigns(body: bytes) -> Page[Campaign]:
    """Return a page of stores. Raises Refusal (RETRY) if the body is no page of campaigns."""
    content, problems = _parse(body, depth=2)
    rows = []
    for record in _records(content, "campaigns", problems):
        try:
            rows.append(Campaign.model_validate(record))
        except ValidationError as error:
            problems.append(f"a campaign: {_first_problem(error)}")
    return Page(rows, _next_token(content), tuple(problems))


def parse_key_info(body: bytes) -> KeyInfo:
    """Return the name and the scopes of the key. Raises Refusal (RETRY) if the body does not describe a key."""
    key = _result(_parse(body, depth=1)[0]).get("apiKey")
    scopes = key.get("authScopes") if isinstance(key, dict) else None
    if not isinstance(key, dict) or not isinstance(scopes, list):
        _refuse("it does not describe the key")
    return KeyInfo(clean(key.get("name") or "", 100), tuple(clean(scope, 100) for scope in scopes))


def _read_return(campaign: int, record: Any, unreadable: list[str]) -> Return:
    """Return the return with the photos that can be requested; append the others to `unreadable`.

    The photo method's `{itemId}` is the decision's `returnItemId` (OpenAPI, getReturnPhoto).
    """
    view = _Return.model_validate(record)
    problems: list[str] = []
    photos: dict[PhotoKey, None] = {}
    for item, image in _images(view.items, problems):
        if not _is_encodable(image):
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
    """Yield the unread returnItemId and the image hash of every photo in a return's items."""
    for item in _each(items, dict, "items", problems):
        for decision in _each(item.get("decisions"), dict, "decisions", problems):
            for image in _each(decision.get("images"), str, "images", problems):
                if image:
                    yield decision.get("returnItemId"), image


def _each(rows: Any, kind: type[T], name: str, problems: list[str]) -> Iterator[T]:
    """Yield the rows of that type. null stands for none (OpenAPI, ReturnDTO); all else is a problem."""
    if not isinstance(rows, list | None):
        problems.append(f"its {name} are no list")
        return
    for row in rows or ():
        if isinstance(row, kind):
            yield row
        elif row is not None:
            problems.append(f"one of its {name} is of another shape")


def _id_or_none(value: Any) -> int | None:
    try:
        return _ID.validate_python(value)
    except ValidationError:
        return None


def _parse(body: bytes, depth: int) -> tuple[dict[str, Any], list[str]]:
    """Return the content and what of it is damaged, in words. `depth`: brackets around the records."""
    try:
        content, problems = parse_records(body, depth)
    except (ValueError, RecursionError):
        _refuse(f"it is no JSON but begins with {clean(body[:4096].decode('ascii', 'replace'), 40)!r}")
    if not isinstance(content, dict):
        _refuse("it is JSON of another shape")
    if content.get("status") == "ERROR":
        codes, messages = error_texts(body)
        _refuse(f"it says ERROR: {messages or codes}")
    return content, [clean(problem, 300) for problem in problems]


def _result(content: dict[str, Any]) -> dict[str, Any]:
    result = content.get("result")
    if not isinstance(result, dict):
        _refuse("it has no result")
    return result


def _records(content: dict[str, Any], name: str, problems: list[str]) -> list[Any]:
    """Return the records that could be parsed. A list that is absent or of another shape is refused, not empty."""
    records = content.get(name)
    if not isinstance(records, list):
        _refuse(f"it has no list of {name}")
    return [record for record in records if record is not None] if problems else records


def _next_token(content: dict[str, Any]) -> str | None:
    paging = content.get("paging")
    if not isinstance(paging, dict | None):
        _refuse("its paging is of another shape")
    token = paging.get("nextPageToken") if paging else None
    if token is not None and not (isinstance(token, str) and _is_encodable(token)):
        _refuse("its page token is no text")
    return token or None


def _is_encodable(text: str) -> bool:
    """Return whether the text can be sent back unchanged: no half of a character, no U+FFFD in place of one."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" or char == "\ufffd" for char in text)


def _refuse(problem: str) -> NoReturn:
    raise Refusal(Reaction.RETRY, f"the answer is not what the API documents: {problem}", 200)


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc']) or 'record'}: {detail['msg']}"
