"""HTTP authentication: basic, or a bearer token, for everything that the server serves."""

import binascii
import ipaddress
from base64 import b64decode
from collections.abc import Callable
from hmac import compare_digest

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.config.configuration import Http
from monitor.runtime.credentials.secret import Secret, read_secret


def auth_middleware(settings: Http) -> Middleware | None:
    """The middleware that checks the configured credentials; None if the configuration has none.

    Raises:
        ConfigurationError: the file of a secret cannot be read.
    """
    if settings.basic_auth is not None:
        secret = read_secret(settings.basic_auth.password_file, "http.basic_auth.password_file")
        return _middleware(_basic(settings.basic_auth.user, secret), 'Basic realm="vibration-monitor"')
    if settings.bearer_token_file is not None:
        token = read_secret(settings.bearer_token_file, "http.bearer_token_file")
        return _middleware(_bearer(token), "Bearer")
    return None


def auth_scheme(settings: Http) -> dict[str, str] | None:
    """The configured authentication as OpenAPI calls it; None: there is none."""
    if settings.basic_auth is not None:
        return {"type": "http", "scheme": "basic"}
    return None if settings.bearer_token_file is None else {"type": "http", "scheme": "bearer"}


def open_to_others(settings: Http) -> bool:
    """Whether the server listens beyond loopback without authentication."""
    host, _ = settings.address
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return not local and settings.basic_auth is None and settings.bearer_token_file is None


def _middleware(allowed: Callable[[str], bool], challenge: str) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not allowed(request.headers.get("Authorization", "")):
            return web.Response(status=401, text="unauthorised\n", headers={"WWW-Authenticate": challenge})
        return await handler(request)

    return check


def _basic(user: str, password: Secret) -> Callable[[str], bool]:
    expected = f"{user}:{password.reveal()}".encode()

    def allowed(header: str) -> bool:
        scheme, _, value = header.partition(" ")
        try:
            given = b64decode(_bytes(value.strip()), validate=True)
        except binascii.Error:
            return False
        return scheme.lower() == "basic" and compare_digest(given, expected)

    return allowed


def _bearer(token: Secret) -> Callable[[str], bool]:
    expected = token.reveal().encode()

    def allowed(header: str) -> bool:
        scheme, _, value = header.partition(" ")
        return scheme.lower() == "bearer" and compare_digest(_bytes(value.strip()), expected)

    return allowed


def _bytes(header: str) -> bytes:
    """The header's bytes as received; aiohttp decodes invalid UTF-8 to surrogates."""
    return header.encode(errors="surrogateescape")
