"""Build the requests of the API. Paths are percent-encoded here, once, and sent unchanged.

Source: the official OpenAPI description of the Partner API, November 2026. The name of each method there is given
with its request.
"""

from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

from market_photos.model import PhotoKey

#: Records on a page. A larger `limit` is cut by getReturns and refused by getCampaigns (OpenAPI).
PAGE_SIZE = 100
#: Bytes of the largest photo (OpenAPI, getReturnPhoto).
MAX_PHOTO_BYTES = 50 * 1024 * 1024
#: Requests an hour of getReturn (page "Limits"). Rarely used here, so it is no setting.
RETURN_REQUESTS = 7000


class Endpoint(StrEnum):
    """The methods of the API. The server counts a quota for each method and store (page "Limits")."""

    CAMPAIGNS = "campaigns"
    RETURNS = "returns"
    RETURN = "return"
    PHOTO = "photo"
    TOKEN = "token"  # noqa: S105 - the name of a method


def quotas(photos: int, returns: int) -> dict[Endpoint, int]:
    """Return the requests that a store may get in a period, by endpoint; `photos` and `returns` are configured."""
    return {Endpoint.PHOTO: photos, Endpoint.RETURNS: returns, Endpoint.RETURN: RETURN_REQUESTS}


class ApiRequest(NamedTuple):
    """A request to the API."""

    endpoint: Endpoint
    path: str
    """Absolute path, percent-encoded."""
    query: tuple[tuple[str, str], ...] = ()
    method: str = "GET"


def token_request() -> ApiRequest:
    """Build getAuthTokenInfo: the name and the scopes of the key."""
    return ApiRequest(Endpoint.TOKEN, "/v2/auth/token", method="POST")


def campaigns_request(page_token: str | None = None) -> ApiRequest:
    """Build getCampaigns: a page of the stores that the key can see."""
    return ApiRequest(Endpoint.CAMPAIGNS, "/v2/campaigns", _paged([], page_token))


def returns_request(
    campaign: int, first: str | None, last: str | None, page_token: str | None = None, *, order: int | None = None
) -> ApiRequest:
    """Build getReturns: a page of the returns updated from `first` to `last` (YYYY-MM-DD, None: open).

    `order` restricts them to one order. Every page repeats all filters. UNREDEEMED returns were never collected and
    have no buyer's photos.
    """
    query = [("type", "RETURN")]
    query += [("fromDate", first)] if first else []
    query += [("toDate", last)] if last else []
    query += [("orderIds", str(order))] if order is not None else []
    return ApiRequest(Endpoint.RETURNS, f"/v2/campaigns/{campaign}/returns", _paged(query, page_token))


def return_request(campaign: int, order: int, return_id: int) -> ApiRequest:
    """Build getReturn: the record of one return."""
    return ApiRequest(Endpoint.RETURN, f"/v2/campaigns/{campaign}/orders/{order}/returns/{return_id}")


def photo_request(key: PhotoKey) -> ApiRequest:
    """Build getReturnPhoto."""
    parent = return_request(key.campaign, key.order, key.return_id).path
    return ApiRequest(Endpoint.PHOTO, f"{parent}/decision/{key.item}/image/{encode_segment(key.image_hash)}")


def encode_segment(text: str) -> str:
    """Return any text as one segment of a path.

    `.` and `..` are encoded too, as proxies and servers would resolve them.
    """
    return {".": "%2E", "..": "%2E%2E"}.get(text) or quote(text, safe="")


def _paged(query: list[tuple[str, str]], page_token: str | None) -> tuple[tuple[str, str], ...]:
    return (*query, ("limit", str(PAGE_SIZE)), *([("pageToken", page_token)] if page_token else []))
