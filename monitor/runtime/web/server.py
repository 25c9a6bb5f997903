"""The HTTP server: metrics, health, readiness, reload, and the live page."""

import ssl
import time

from aiohttp import web

from monitor.config.configuration import Http
from monitor.errors import MonitorError
from monitor.runtime.log.internal_errors import InternalErrors
from monitor.runtime.web import runbook
from monitor.runtime.web.api.alarms import add_alarms
from monitor.runtime.web.api.baselines import add_baselines
from monitor.runtime.web.api.diagnosis import add_diagnosis
from monitor.runtime.web.api.history import add_history
from monitor.runtime.web.api.openapi import Answer, Operation, add_document, add_route
from monitor.runtime.web.border.auth import auth_middleware, auth_scheme
from monitor.runtime.web.border.connections import Connections, Dropped
from monitor.runtime.web.border.permission import TOKEN_SCHEME, Permission
from monitor.runtime.web.border.requests import BODY_BYTES, ServerLog, border
from monitor.runtime.web.metrics.scrape import Scrapes
from monitor.runtime.web.page.routes import add_page
from monitor.runtime.web.view import Service

SERVICE = web.AppKey("service", Service)
SCRAPES = web.AppKey("scrapes", Scrapes)


def make_app(service: Service, settings: Http, errors: InternalErrors | None = None) -> web.Application:
    """The application with its routes.

    Args:
        service: the daemon.
        settings: the section ``http`` of the configuration.
        errors: counts errors of handlers; None: it makes its own counter.

    Raises:
        ConfigurationError: the file of a secret cannot be read.
    """
    errors = errors or InternalErrors(time.monotonic)
    check = auth_middleware(settings)
    middlewares = [border(settings, errors), *([check] if check else [])]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES)
    app[SERVICE] = service
    app[SCRAPES] = scrapes = Scrapes(service.metrics_page)
    app.on_cleanup.append(lambda _: scrapes.close())
    add_route(app, "GET", "/metrics", _metrics, METRICS)
    add_route(app, "GET", "/-/healthy", _healthy, HEALTHY)
    add_route(app, "GET", "/-/ready", _ready, READY)
    permission = Permission(settings)
    add_alarms(app, service, permission)
    add_baselines(app, service, permission)
    add_history(app, service)
    add_diagnosis(app, service)
    runbook.add_runbook(app)
    if settings.page:
        add_page(app, service, errors)
    if settings.reload:
        add_route(app, "POST", "/-/reload", _reload, RELOAD)
    scheme = auth_scheme(settings)
    add_document(app, scheme, scheme or TOKEN_SCHEME)
    return app


METRICS = Operation("All metrics, for Prometheus.", {200: Answer("Prometheus' text format, version 0.0.4.")})
HEALTHY = Operation("Whether the process answers.", {200: Answer("It does.")})
READY = Operation(
    "Whether everything that the service needs is there.",
    {200: Answer("It is."), 503: Answer("What is missing, one reason a line.")},
)
RELOAD = Operation(
    "Read the configuration again, as SIGHUP does; where `http.reload` is set.",
    {200: Answer("The configuration is in use."), 500: Answer("Its problems; the old one stays in use.")},
)


async def _metrics(request: web.Request) -> web.Response:
    return await request.app[SCRAPES].answer(request)


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


class Server:
    """Serves the application on its address."""

    def __init__(
        self, app: web.Application, settings: Http, tls: ssl.SSLContext | None, errors: InternalErrors
    ) -> None:
        """Prepare a server; nothing listens yet."""
        self._connections: Connections | None = None
        self._settings = settings
        self._tls = tls
        self._errors = errors
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=1.0,
            auto_decompress=False,
            lingering_time=1.0,
            logger=ServerLog(errors, time.monotonic),
        )

    async def start(self) -> str:
        """Listen; returns the URL.

        Raises:
            MonitorError: it cannot listen on the address.
        """
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - setup has made it
        self._connections = Connections(self._runner.server, self._tls, self._errors)
        try:
            host, port = (await self._connections.listen(*self._settings.address))[0]
        except OSError as error:
            raise MonitorError(
                f"cannot listen on http.listen {self._settings.listen}: {error.strerror or error}; "
                "is another instance running? Choose a free port."
            ) from error
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{shown}:{port}"

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections.open) if self._connections is not None else 0

    @property
    def dropped(self) -> dict[Dropped, int]:
        """Connections that the server closed, by reason."""
        return dict(self._connections.dropped) if self._connections is not None else {}

    async def close(self) -> None:
        """Stop accepting, give handlers a moment to finish, close every connection."""
        if self._connections is not None:
            await self._connections.stop_listening()
        await self._runner.cleanup()
        if self._connections is not None:
            self._connections.drop_all()
