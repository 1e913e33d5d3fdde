"""The aiohttp application: access rules, error pages, and the task that updates the indexes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from html import escape

from aiohttp import web

from market_photos.browse import security
from market_photos.browse.security import AccessPolicy, Handler
from market_photos.browse.site import STATIC, Site
from market_photos.browse.words import language_of, own_address, remember_choices
from market_photos.errors import EvidenceBroken, MarketPhotosError

log = logging.getLogger(__name__)
#: How long a browser keeps the token. One that does not stay ends with the server.
_TOKEN_SECONDS = 180 * 86_400
#: The statuses of error pages; another error of a request is shown as 400.
_SHOWN = {400, 401, 404, 405, 421, 500, 503}


def make_app(site: Site, policy: AccessPolicy) -> web.Application:
    """Return the application that serves a site to those whom the policy allows."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not policy.is_own_host(request.headers.get("Host", "")):
            return _error_page(site, request, 421)
        if request.method not in {"GET", "HEAD"}:
            return _error_page(site, request, 405)
        if request.path.startswith("/static/"):
            return await handler(request)
        if policy.token and "token" in request.query:
            return _with_token(site, request, policy)
        return await handler(request) if policy.allows(request) else _error_page(site, request, 401)

    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _error_page(site, request, error.status if error.status in _SHOWN else 400)
        except EvidenceBroken as error:
            return _error_page(site, request, 409, f"{error.message} {error.hint}")
        except MarketPhotosError as error:
            return _error_page(site, request, 503, f"{error.message} {error.hint}")
        except OSError as error:  # a failing disk, or too many open files
            log.info("%s: %s", request.path, error)
            return _error_page(site, request, 503, str(error))
        except Exception:
            log.exception("%s", request.path)
            return _error_page(site, request, 500)

    app = web.Application(middlewares=[errors, guard])
    app.on_response_prepare.append(security.add_headers)
    app.add_routes(site.routes())
    app.add_routes([web.static("/static", STATIC)])
    app.cleanup_ctx.append(lambda _: _update_indexes(site))
    return app


async def _update_indexes(site: Site) -> AsyncIterator[None]:
    updating = asyncio.create_task(site.index_refresher.run())
    yield
    site.index_refresher.close()
    updating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await updating
    site.close()


def _with_token(site: Site, request: web.Request, policy: AccessPolicy) -> web.Response:
    """Set the token as a cookie, and forward to the address without it.

    A redirect would not send a Strict cookie after a link from another site, so a page forwards.
    """
    if not policy.is_token(request.query["token"]):
        return _error_page(site, request, 401)
    address = escape(own_address(request.rel_url.without_query_params("token")), quote=True)
    response = web.Response(
        text=f'<!doctype html><title>…</title><meta http-equiv="refresh" content="0;url={address}">'
        f'<a href="{address}">{address}</a>',
        content_type="text/html",
    )
    response.set_cookie(
        security.COOKIE, request.query["token"], max_age=_TOKEN_SECONDS, httponly=True, samesite="Strict"
    )
    return response


def _error_page(site: Site, request: web.Request, status: int, details: str = "") -> web.Response:
    words = language_of(request)
    address = own_address(request.rel_url.without_query_params("token")) if status == 401 else ""
    text = site.render("error.html", words, request, status=status, details=details, address=address)
    response = web.Response(text=text, status=status, content_type="text/html")
    if status == 405:
        response.headers["Allow"] = "GET, HEAD"
    remember_choices(request, response)
    return response
