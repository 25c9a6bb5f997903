"""The HTTP server: metrics, health, readiness, reload, and the page's data.

Refuses to know: how anything it shows comes about; it asks its service.
"""

import ssl
from typing import Protocol

from aiohttp import web

from monitor.config import Config, Http
from monitor.errors import MonitorError
from monitor.runtime import metrics
from monitor.runtime.auth import auth_middleware
from monitor.runtime.certificates import load_certificate
from monitor.runtime.families import View
from monitor.runtime.page.server import add_page


class Service(Protocol):
    """What the server shows."""

    config: Config
    """The configuration that runs."""

    def view(self) -> View:
        """Everything that metrics and page show, now."""

    def metrics_page(self) -> bytes:
        """The metrics in the text format."""

    def unready(self) -> list[str]:
        """Why the service is not ready; empty when it is."""

    async def reload(self) -> None:
        """Load the configuration anew; raises MonitorError and keeps the old one on failure."""


SERVICE = web.AppKey("service", Service)


def make_app(service: Service, settings: Http) -> web.Application:
    """The application with its routes.

    Raises:
        ConfigurationError: a secret's file cannot be read.
    """
    check = auth_middleware(settings)
    app = web.Application(middlewares=[check] if check else [])
    app[SERVICE] = service
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/-/healthy", _healthy)
    app.router.add_get("/-/ready", _ready)
    if settings.page:
        add_page(app, service)
    if settings.reload:
        app.router.add_post("/-/reload", _reload)
    return app


async def _metrics(request: web.Request) -> web.Response:
    body = request.app[SERVICE].metrics_page()
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="healthy\n")


async def _ready(request: web.Request) -> web.Response:
    reasons = request.app[SERVICE].unready()
    if reasons:
        return web.Response(status=503, text="".join(f"not ready: {reason}\n" for reason in reasons))
    return web.Response(text="ready\n")


async def _reload(request: web.Request) -> web.Response:
    try:
        await request.app[SERVICE].reload()
    except MonitorError as error:
        return web.Response(status=500, text=f"not reloaded: {error}\n")
    return web.Response(text="reloaded\n")


def tls_context(settings: Http) -> ssl.SSLContext | None:
    """The server's TLS, None for plain HTTP.

    Raises:
        ConfigurationError: the certificate or key cannot be read.
    """
    if settings.cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_own_certificate(context, settings)
    return context


def load_own_certificate(context: ssl.SSLContext, settings: Http) -> None:
    """Load the server's certificate as it is on disk now, for connections from now on.

    Raises:
        ConfigurationError: the certificate or key cannot be read.
    """
    if settings.cert_file is not None and settings.key_file is not None:
        load_certificate(context, settings.cert_file, settings.key_file, "http.cert_file")
