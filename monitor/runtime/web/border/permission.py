"""Who may change something over HTTP: somebody who is authenticated, or this machine's own user through our own page.

Without configured authentication, a request must come from a loopback address and carry the token of this run. Only
what this server sends to a loopback client holds the token, and a foreign web page cannot read that. A request that a
proxy passed on is nobody's on this machine. A body must be JSON: a form of a foreign page cannot send that without
being asked for (CORS). Does not handle: ``Host`` and ``Origin`` (``requests``), passwords (``auth``).
"""

import ipaddress
import secrets
from hmac import compare_digest

from aiohttp import web

from monitor.config.configuration import Http

TOKEN_HEADER = "X-Vibration-Token"  # noqa: S105 - the name of a header
"""Header with the token of the page."""

TOKEN_SCHEME = {
    "type": "apiKey",
    "in": "header",
    "name": TOKEN_HEADER,
    "description": "The `token` in GET /api/v1/baselines, which this machine's own users get; a new one at each start.",
}
"""How OpenAPI says it."""

PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
"""Headers that a proxy adds."""


class Permission:
    """Decides who may change something, during one run of the server."""

    def __init__(self, settings: Http) -> None:
        self._authenticated = settings.basic_auth is not None or settings.bearer_token_file is not None
        self._token = secrets.token_urlsafe(32)

    def token_for(self, request: web.Request) -> str | None:
        """The token for the page of a client; None: it needs none, or may not change anything."""
        return self._token if not self._authenticated and _is_local(request) else None

    def may_change(self, request: web.Request) -> bool:
        """Whether the client of a request could change something, with the token that it gets."""
        return self._authenticated or _is_local(request)

    def refused(self, request: web.Request) -> web.Response | None:
        """The answer to a request that may not change anything; None: it may."""
        if request.content_type != "application/json":
            return web.Response(status=415, text="send JSON, with Content-Type: application/json\n")
        if self._authenticated:
            return None  # the middleware has checked it
        if not _is_local(request):
            text = (
                "changes need http.basic_auth or http.bearer_token_file in the configuration, or a client on the "
                "monitor's own machine, without a proxy\n"
            )
            return web.Response(status=403, text=text)
        given = request.headers.get(TOKEN_HEADER, "").encode(errors="surrogateescape")
        if not compare_digest(given, self._token.encode()):
            text = f"the token of this run is missing or old: take it from GET /api/v1/baselines into {TOKEN_HEADER}\n"
            return web.Response(status=403, text=text)
        return None


def _is_local(request: web.Request) -> bool:
    if any(name in request.headers for name in PROXIES):
        return False
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
