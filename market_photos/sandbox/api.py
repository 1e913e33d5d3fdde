"""The methods of the seller's API: from a request to a reply, without sockets."""

from dataclasses import dataclass

from market_photos.sandbox.listing import Filters, filters_of, limit_of, offset_of, paging
from market_photos.sandbox.replies import Refused, error, json_reply
from market_photos.sandbox.wire import Reply, Request
from market_photos.sandbox.world import USEFUL_SCOPES, Market, MarketStore, Return

_MAX_PER_PAGE = 100
_DEFAULT_PER_PAGE = 50


@dataclass(frozen=True)
class Call:
    """A request with the API method that it calls; its kind is "other" if it calls none."""

    request: Request
    kind: str
    campaign: int | None = None
    order: int = 0
    return_id: int = 0
    item: int = 0
    image_hash: str | None = None


def parse_call(request: Request) -> Call:
    """Return the method that the request calls, and its parameters."""
    try:
        match request.path:
            case ["v2", "campaigns"]:
                return Call(request, "campaigns")
            case ["v2", "auth", "token"]:
                return Call(request, "token")
            case ["v2", "campaigns", campaign, "returns"]:
                return Call(request, "returns", int(campaign))
            case ["v2", "campaigns", campaign, "orders", order, "returns", back]:
                return Call(request, "return", int(campaign), int(order), int(back))
            case ["v2", "campaigns", campaign, "orders", order, "returns", back, "decision", item, "image", name] if (
                name
            ):
                return Call(request, "photo", int(campaign), int(order), int(back), int(item), name)
    except ValueError:
        pass
    return Call(request, "other")


def check_request(market: Market, call: Call) -> Reply | None:
    """Return the error for an unknown method or key, None for a valid request."""
    if call.kind == "other":
        return error(404, "NOT_FOUND", "No such method")
    if call.request.method != ("POST" if call.kind == "token" else "GET"):
        return error(405, "METHOD_NOT_ALLOWED", f"Request method '{call.request.method}' not supported")
    if call.request.headers.get("api-key") != market.key:
        return error(401, "UNAUTHORIZED", "Api-Key is missing or not known")
    return None


def answer(market: Market, call: Call) -> Reply:
    """Return the answer to a valid request, before limits and faults."""
    try:
        if call.kind == "token":
            return _token(market)
        if not USEFUL_SCOPES.intersection(market.scopes):
            raise Refused(403, "FORBIDDEN", "The key lacks the scope for this method")
        if call.kind == "campaigns":
            return _campaigns(market, call.request.query)
        return _of_store(_open_store(market, call.campaign), call)
    except Refused as refused:
        return refused.reply


def _token(market: Market) -> Reply:
    return json_reply({"status": "OK", "result": {"apiKey": {"name": "sandbox", "authScopes": market.scopes}}})


def _campaigns(market: Market, query: dict[str, str]) -> Reply:
    limit = limit_of(query, default=_MAX_PER_PAGE)
    if limit > _MAX_PER_PAGE:
        raise Refused(400, "BAD_REQUEST", f"limit must be at most {_MAX_PER_PAGE}")
    stores = list(market.stores.values())
    start = offset_of(query, Filters())
    following = paging(start + limit, len(stores), Filters())
    return json_reply({"campaigns": [store.record() for store in stores[start : start + limit]], "paging": following})


def _open_store(market: Market, campaign: int | None) -> MarketStore:
    store = market.stores.get(campaign or 0)
    if store is None:
        raise Refused(403, "FORBIDDEN", f"Access denied to campaign {campaign}")
    if not store.is_available:
        raise Refused(403, "API_DISABLED", f"API is disabled for campaign {campaign}")
    return store


def _of_store(store: MarketStore, call: Call) -> Reply:
    if call.kind == "returns":
        return _returns(store, call.request.query)
    return _return(store, call) if call.kind == "return" else _photo(store, call)


def _returns(store: MarketStore, query: dict[str, str]) -> Reply:
    filters = filters_of(query)
    limit = min(limit_of(query, default=_DEFAULT_PER_PAGE), _MAX_PER_PAGE)
    listing, start = store.listing(filters), offset_of(query, filters)
    page = [back.record() for back in listing[start : start + limit]]
    following = paging(start + limit, len(listing), filters)
    return json_reply({"status": "OK", "result": {"paging": following, "returns": page}})


def _return(store: MarketStore, call: Call) -> Reply:
    return json_reply({"status": "OK", "result": _found(store, call).record()})


def _photo(store: MarketStore, call: Call) -> Reply:
    if not store.has_photos:
        raise Refused(403, "FORBIDDEN", f"Photos are not available for campaign {store.campaign}")
    _found(store, call)
    photo = store.photo(call.order, call.return_id, call.item, call.image_hash or "")
    if photo is None:
        raise Refused(404, "NOT_FOUND", f"Image '{call.image_hash}' is not found")
    return Reply(200, {"Content-Type": photo.content_type}, photo.body)


def _found(store: MarketStore, call: Call) -> Return:
    back = store.returns.get(call.return_id)
    if back is None or back.order != call.order:
        raise Refused(404, "NOT_FOUND", f"Return '{call.return_id}' for order '{call.order}' is not found")
    return back
