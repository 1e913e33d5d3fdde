"""The requests of the API, without I/O. A path is percent-encoded here, once, and goes onto the wire as it is.

Source: the official OpenAPI description of the Partner API, November 2026.
"""

from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

from market_photos.model import PhotoKey

#: Records on a page of returns or campaigns; more is cut (returns) or refused (campaigns). Official.
PAGE_SIZE = 100
#: The largest photo the API serves, bytes. Official.
MAX_PHOTO_BYTES = 50 * 1024 * 1024
#: Requests an hour for the record of one return. Official; too seldom used here to be a setting.
RETURN_REQUESTS = 7000


class Endpoint(StrEnum):
    """The API's methods; the server counts a quota for each of them and store."""

    CAMPAIGNS = "campaigns"
    RETURNS = "returns"
    RETURN = "return"
    PHOTO = "photo"
    TOKEN = "token"  # noqa: S105 - the name of a method


def quotas(photos: int, returns: int) -> dict[Endpoint, int]:
    """Return the requests of each method that a store may get in a period; `photos`, `returns`: as configured."""
    return {Endpoint.PHOTO: photos, Endpoint.RETURNS: returns, Endpoint.RETURN: RETURN_REQUESTS}


class ApiRequest(NamedTuple):
    """One request."""

    endpoint: Endpoint
    path: str
    """From the root of the API, percent-encoded."""
    query: tuple[tuple[str, str], ...] = ()
    method: str = "GET"


def token_request() -> ApiRequest:
    return ApiRequest(Endpoint.TOKEN, "/v2/auth/token", method="POST")


def campaigns_request(page_token: str | None = None) -> ApiRequest:
    return ApiRequest(Endpoint.CAMPAIGNS, "/v2/campaigns", _paged([], page_token))


def returns_request(campaign: int, first: str | None, last: str | None, page_token: str | None = None) -> ApiRequest:
    """A page of returns updated from `first` to `last` (YYYY-MM-DD, None: open).

    Every page repeats all filters. Goods that were never collected (UNREDEEMED) have no photos of a buyer.
    """
    query = [("type", "RETURN")]
    query += [("fromDate", first)] if first else []
    query += [("toDate", last)] if last else []
    return ApiRequest(Endpoint.RETURNS, f"/v2/campaigns/{campaign}/returns", _paged(query, page_token))


def return_request(campaign: int, order: int, return_id: int) -> ApiRequest:
    return ApiRequest(Endpoint.RETURN, f"/v2/campaigns/{campaign}/orders/{order}/returns/{return_id}")


def photo_request(key: PhotoKey) -> ApiRequest:
    parent = return_request(key.campaign, key.order, key.return_id).path
    return ApiRequest(Endpoint.PHOTO, f"{parent}/decision/{key.item}/image/{encode_segment(key.image_hash)}")


def encode_segment(text: str) -> str:
    """Any text as one segment of a path.

    Dots stay as they are but for `.` and `..`, which any party on the way would take for steps in the path.
    """
    return {".": "%2E", "..": "%2E%2E"}.get(text) or quote(text, safe="")


def _paged(query: list[tuple[str, str]], page_token: str | None) -> tuple[tuple[str, str], ...]:
    return (*query, ("limit", str(PAGE_SIZE)), *([("pageToken", page_token)] if page_token else []))
