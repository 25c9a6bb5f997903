"""The border of the HTTP server: what every request must keep to before a handler sees it, and every answer after.

A request's body is small and comes soon. Its ``Host`` is a name of ours, else a web page whose name was bound to our
address (DNS rebinding) could read ours in the user's browser; only metrics and health are given to any name, since
programs ask for them. A request that changes something comes from no other web page (``Origin``). Requests are taken
in order and not too fast; a large answer is sent in pieces of the same bytes for all clients, and must be read soon. A
handler that fails costs its request only. Does not handle: passwords (``auth``), the number of connections
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

from monitor.config import Http
from monitor.runtime.internal_errors import InternalErrors, Where
from monitor.runtime.repeated_log import RepeatedLog
from monitor.runtime.web.connections import REQUEST_S, connection_of

LOG = logging.getLogger(__name__)

BODY_BYTES = 65_536
"""Largest body of a request."""

ANSWER_S = 300.0
"""Time to take a whole answer. Shorter: the chart library (1.4 MB) does not come through a slow phone. Longer: a client
that takes a byte now and then is held for longer."""

PIECE_BYTES = 65_536
"""A longer answer is handed to the transport in pieces of this size; each client then holds one, not all of it."""

REQUESTS_A_SECOND = 100.0
"""Requests taken a second, beyond :data:`BURST`; the others wait in their order. Fewer: many browsers at once load
slowly. More: one client that asks without pause delays the messages (a page of metrics of 1,000 channels takes 3 ms of
the event loop to send)."""

BURST = 200
"""Requests taken without a wait after a pause."""

FOR_ANY_HOST = frozenset({"/metrics", "/-/healthy", "/-/ready"})
"""Paths that are answered whatever ``Host`` says: programs ask for them, by any name that leads here."""

CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})


def border(settings: Http, errors: InternalErrors) -> Middleware:
    """The middleware around all others."""
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
            return web.Response()  # aiohttp finds that it cannot be sent, and is silent about it
        finally:
            if connection is not None:
                connection.request_ends()
        return answer

    return check


class _Turns:
    """Lets requests through in order, at a bounded rate."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._next_s = 0.0

    async def wait(self, request: web.Request) -> None:
        """Return when it is this request's turn; one whose client has left takes none."""
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
    return web.Response(status=500, text="internal error; the daemon's log tells which\n")


async def _body_refused(request: web.Request) -> web.Response | None:
    """Read the body; the answer to one that is late or malformed, None if it is there."""
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
    """A body that is written in pieces, each after the client has taken most of what came before it."""

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
    """By which names the server may be asked, and from which web pages."""

    def __init__(self, settings: Http) -> None:
        self._configured = frozenset(name.lower() for name in settings.allowed_hosts)
        own = socket.gethostname().lower()
        self._known = self._configured | {"localhost", settings.address[0].lower(), own, own.partition(".")[0]}

    def refused(self, request: web.Request) -> web.Response | None:
        """The answer to a request of a foreign name or web page, None if it is neither."""
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
        """Whether a ``Host`` names this server. An address does: a browser binds no foreign name to it."""
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
    """The host of an address, empty if there is none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _forbidden(text: str) -> web.Response:
    return web.Response(status=403, body=text.encode(errors="backslashreplace"), content_type="text/plain")


class ServerLog(logging.Logger):
    """What aiohttp's protocol has to say: malformed requests a line now and then, all else is for the net."""

    def __init__(self, errors: InternalErrors, clock: Callable[[], float]) -> None:
        """Make a logger outside the hierarchy; ``clock`` gives monotonic seconds."""
        super().__init__(__name__, logging.WARNING)
        self._errors = errors
        self._repeated = RepeatedLog(LOG, clock)

    def handle(self, record: logging.LogRecord) -> None:
        """Sort one record."""
        error = record.exc_info[1] if record.exc_info else None
        # aiohttp's refusals quote the request, which need not be encodable (UnicodeError).
        if isinstance(error, HttpProcessingError | UnicodeError):
            reason = str(error.message if isinstance(error, HttpProcessingError) else error).partition("\n")[0]
            self._repeated.warning(
                "malformed", f"malformed request refused: {record.getMessage()} reason={reason!r:.200}"
            )
        elif isinstance(error, ConnectionError):
            return  # the client left before its request came to a handler
        elif error is not None:
            self._errors.caught(Where.REQUEST, record.getMessage(), error)
        else:
            LOG.handle(record)
