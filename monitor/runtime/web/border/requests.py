"""The checks around every HTTP handler: size, time, rate, ``Host`` and ``Origin``.

A request's body must be small and complete within a time limit. Its ``Host`` must be a name of this server; else a web
page could read ours in the user's browser by DNS rebinding. Metrics and health answer to any name, because programs ask
for them. A request that changes something must not come from another web page (``Origin``). Requests are handled in
order, at a limited rate. A large answer is sent in pieces that share memory, and must be read within a time limit. A
failing handler costs its request only. Does not handle: passwords (``auth``), the number of connections
(``connections``).
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import payload, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from monitor.config.configuration import Http
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.log.logs import RepeatedLog
from monitor.runtime.web.border.connections import REQUEST_S, connection_of

LOG = logging.getLogger(__name__)

BODY_BYTES = 262_144
"""Largest body of a request. Smaller: a baseline whose head has weights of the network (0.2 MB of base64) cannot
be imported."""

ANSWER_S = 300.0
"""Time limit for reading a whole answer. Shorter: the chart library (1.4 MB) does not reach a slow phone. Longer: a
client that reads a byte now and then holds its connection for longer."""

PIECE_BYTES = 65_536
"""A longer answer goes to the transport in pieces of this size, so each client buffers one piece, not the whole."""

REQUESTS_A_SECOND = 100.0
"""Requests handled per second beyond :data:`BURST`; others wait in order. Fewer: many browsers at once load slowly.
More: a client that asks without pause delays the messages (sending the metrics of 1,000 channels takes 3 ms of the
event loop)."""

BURST = 200
"""Requests handled without a wait after a pause."""

FOR_ANY_HOST = frozenset({"/metrics", "/-/healthy", "/-/ready"})
"""Paths that are answered whatever ``Host`` says: programs ask for them by any name of this machine."""

CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})


def border(settings: Http, errors: InternalErrors) -> Middleware:
    """The outermost middleware."""
    names = _Names(settings)
    turns = _Turns()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = connection_of(request)
        if connection is not None:
            connection.request_begins()
        try:
            await turns.wait(request)
            answer = await _handled(request, handler, names, errors)
            async with asyncio.timeout(ANSWER_S):
                await _send(request, answer)
        except (TimeoutError, ConnectionError):  # the client left, or takes too long
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # aiohttp cannot send it, and logs nothing
        finally:
            if connection is not None:
                connection.request_ends()
        return answer

    return check


class _Turns:
    """Lets requests through in order, at a limited rate."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._next_s = 0.0

    async def wait(self, request: web.Request) -> None:
        """Return when it is this request's turn; a request whose client has left uses up no turn."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if request.transport is None:
                raise ConnectionResetError("the client left before its turn")
            self._next_s = max(self._next_s + 1 / REQUESTS_A_SECOND, loop.time() - BURST / REQUESTS_A_SECOND)
            if self._next_s > loop.time():
                await asyncio.sleep(self._next_s - loop.time())


async def _handled(
    request: web.Request, handler: Handler, names: "_Names", errors: InternalErrors
) -> web.StreamResponse:
    expected: Exception | None = None
    answer: web.StreamResponse | None = None
    with errors.contained(Where.REQUEST, f"{request.method} {request.path}"):
        try:
            answer = names.refused(request) or await _body_refused(request) or await handler(request)
        except (web.HTTPException, ConnectionError) as error:  # the router's 404; a client that left
            expected = error
    if expected is not None:
        raise expected
    if answer is not None:
        return answer
    if request.writer.output_size:
        raise ConnectionResetError("the answer failed half-way")
    return web.Response(status=500, text="internal error; see the daemon's log\n")


async def _body_refused(request: web.Request) -> web.Response | None:
    """Read the body; returns the answer to a late or malformed one, None if it is complete."""
    if not request.body_exists:
        return None
    try:
        async with asyncio.timeout(REQUEST_S):
            await request.read()
    except TimeoutError:
        return web.Response(status=408, text=f"the request was not complete after {REQUEST_S:.0f} s\n")
    except web.RequestPayloadError:
        return web.Response(status=400, text="the request's body is malformed\n")
    return None


async def _send(request: web.Request, answer: web.StreamResponse) -> None:
    if isinstance(answer, web.Response) and isinstance(answer.body, bytes) and len(answer.body) > PIECE_BYTES:
        answer.body = _Pieces(answer.body)
    await answer.prepare(request)
    await answer.write_eof()


class _Pieces(payload.Payload):
    """A body that is written in pieces; each waits until the send buffer has room."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._body = body
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        view = memoryview(self._body)
        for start in range(0, len(view), PIECE_BYTES):
            await writer.write(view[start : start + PIECE_BYTES])
            await writer.drain()


class _Names:
    """The host names that the server answers to, and the web pages that may change something."""

    def __init__(self, settings: Http) -> None:
        public = _host_name(settings.public_url or "")
        self._configured = frozenset(name.lower() for name in (*settings.allowed_hosts, public) if name)
        own = socket.gethostname().lower()
        self._known = self._configured | {"localhost", settings.address[0].lower(), own, own.partition(".")[0]}

    def refused(self, request: web.Request) -> web.Response | None:
        """The answer to a request with a foreign ``Host`` or ``Origin``; None if both are allowed."""
        changes_nothing = request.method in CHANGES_NOTHING
        if changes_nothing and request.path in FOR_ANY_HOST:
            return None
        hosts = request.headers.getall("Host", [])
        for host in hosts:
            if not self._is_known(host):
                text = f"'{host}' is not a name of this server; if it should be, add it to http.allowed_hosts\n"
                return _forbidden(text)
        for origin in () if changes_nothing else request.headers.getall("Origin", []):
            if not self._is_ours(origin, hosts):
                text = f"a web page of '{origin}' may not change anything here; see http.allowed_hosts\n"
                return _forbidden(text)
        return None

    def _is_known(self, host: str) -> bool:
        """Whether ``Host`` names this server. Any IP address does: DNS rebinding needs a host name."""
        name = _host_name(f"//{host}")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._known
        return True

    def _is_ours(self, origin: str, hosts: list[str]) -> bool:
        same = {origin.lower()} & {f"{scheme}://{host.lower()}" for scheme in ("http", "https") for host in hosts}
        return bool(same) or _host_name(origin) in self._configured


def _host_name(address: str) -> str:
    """The host of a URL; empty if there is none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _forbidden(text: str) -> web.Response:
    return web.Response(status=403, body=text.encode(errors="backslashreplace"), content_type="text/plain")


class ServerLog(logging.Logger):
    """Receives aiohttp's log records: rate-limits malformed requests, and counts other errors as internal errors."""

    def __init__(self, errors: InternalErrors, clock: Callable[[], float]) -> None:
        """Make a logger outside the hierarchy; ``clock`` returns monotonic seconds."""
        super().__init__(__name__, logging.WARNING)
        self._errors = errors
        self._repeated = RepeatedLog(LOG, clock)

    def handle(self, record: logging.LogRecord) -> None:
        """Log, count or drop one record."""
        error = record.exc_info[1] if record.exc_info else None
        # aiohttp's error messages quote the request, which may not be encodable (UnicodeError).
        if isinstance(error, HttpProcessingError | UnicodeError):
            reason = str(error.message if isinstance(error, HttpProcessingError) else error).partition("\n")[0]
            self._repeated.warning(
                "malformed", f"malformed request refused: {record.getMessage()} reason={reason!r:.200}"
            )
        elif isinstance(error, ConnectionError):
            return  # the client left before its request reached a handler
        elif error is not None:
            self._errors.caught(Where.REQUEST, record.getMessage(), error)
        else:
            LOG.handle(record)
