"""Limits on the HTTP server's connections: their number, and the time that a slow client may take.

aiohttp limits the size of a request, but neither the number of connections nor the time that a client takes to send a
request or to read the answer. So connections are accepted here, and each is watched: a :class:`Connection` stands
between the transport and aiohttp's protocol.

At the limit a new connection evicts one that is not being served: first of the address with the most connections;
among those, one with an incomplete request, then an idle one, then one that does not read its answer; the oldest first.
So a scraper gets through although slow clients hold connections. Does not handle: requests and authentication
(``requests``, ``auth``).
"""

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import IntEnum, StrEnum
from functools import partial
from typing import cast

from aiohttp import web

from monitor.runtime.log.internal_errors import InternalErrors, supervised
from monitor.runtime.log.logs import RepeatedLog

LOG = logging.getLogger(__name__)

CONNECTIONS = 256
"""Most connections. Fewer: a control room (64 streams, and the idle connections of its browsers) evicts scrapers. More:
each may hold 200 kB in buffers."""

DESCRIPTOR_SHARE = 4
"""Connections use at most this fraction (1/n) of the process's file descriptors. Fewer: under a low limit HTTP leaves
too few for files and the broker. More: a low limit allows few connections."""

REQUEST_S = 10.0
"""Time for the TLS handshake, and again for a complete request. Shorter: a phone on a bad network is cut off. Longer: a
client that sends a byte a second holds a connection for longer."""

KEEPALIVE_S = 75.0
"""Longest idle time between two requests. Shorter than a scrape interval (1 min is common): every scrape opens a new
connection. Longer: idle connections take up places."""

UNREAD_S = 10.0
"""A client that reads nothing of an answer for this long is dropped. Shorter: a laptop that sleeps for a moment loses
its stream. Longer: its memory is held for longer."""

REQUEST_BYTES = 65_536
"""Most bytes of a request's head. aiohttp limits each line and their number, which together allows 1 MB."""

SEND_BYTES = 65_536
"""Size of the send buffer in the transport, and again (doubled by Linux) in the kernel."""

RECEIVE_BYTES = 65_536
"""Size of the receive buffer in the kernel."""

CHECK_PERIOD_S = 1.0
"""Time between two checks of all connections."""

ACCEPT_RETRY_S = 0.2
"""Wait before accepting again when no place or file descriptor is free. Shorter: a busy loop. Longer: new connections
wait in the kernel's queue for longer."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Dropped(StrEnum):
    """Why the server closed a connection: values of the metric's label ``reason``."""

    SLOW_REQUEST = "slow_request"
    """The request was not complete in time, or too large."""
    UNREAD_ANSWER = "unread_answer"
    """The answer was not read."""
    CROWDED = "crowded"
    """The limit was reached and a new connection needed the place."""


class State(IntEnum):
    """State of a connection; a lower state is evicted first."""

    REQUESTING = 0
    """Its request is not complete."""
    IDLE = 1
    """It waits between two requests."""
    ANSWERING = 2
    """Its request is being answered."""


class Connection(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol, and records when it last made progress."""

    def __init__(self, registry: "set[Connection]", inner: asyncio.Protocol, address: str, now_s: float) -> None:
        """Watch a connection that was accepted at ``now_s`` (the loop's time) from ``address``."""
        self.address = address
        self.state = State.REQUESTING
        self.since_s = now_s
        """Loop time at which the state began."""
        self.stream: asyncio.Task[None] | None = None
        """Task that sends an endless answer; cancelled when the client has left."""
        self.opening: asyncio.Task[None] | None = None
        """Task that opens the transport, including the TLS handshake."""
        self._registry = registry
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._received_bytes = 0
        self._unsent_bytes = 0
        self._progress_s = now_s
        registry.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=SEND_BYTES)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request arrived."""
        if self.state is State.IDLE:
            self._enter(State.REQUESTING)
        if self.state is State.REQUESTING:
            self._received_bytes += len(data)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client has sent everything."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """The send buffer is full."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The send buffer has room again."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._registry.discard(self)
        if self.stream is not None:
            self.stream.cancel()
        self._inner.connection_lost(exc)

    def request_begins(self) -> None:
        """The head of a request is complete; its answer is being made."""
        self._enter(State.ANSWERING)

    def request_ends(self) -> None:
        """The answer is complete, at least in the send buffer."""
        self.stream = None
        self._enter(State.IDLE)

    def check(self, now_s: float) -> Dropped | None:
        """Why the connection must be dropped; None: it may stay. Call it every :data:`CHECK_PERIOD_S`."""
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if not unsent or unsent != self._unsent_bytes:
            self._progress_s = now_s
        self._unsent_bytes = unsent
        if now_s - self._progress_s > UNREAD_S:
            return Dropped.UNREAD_ANSWER
        late = self.state is State.REQUESTING and now_s - self.since_s > REQUEST_S
        if late or self._received_bytes > REQUEST_BYTES:
            return Dropped.SLOW_REQUEST
        return None

    def unused(self, now_s: float) -> bool:
        """Whether the connection has been idle for too long."""
        return self.state is State.IDLE and now_s - self.since_s > KEEPALIVE_S

    def may_go(self, now_s: float) -> bool:
        """Whether a new connection may evict this one."""
        if self.state is not State.ANSWERING:
            return True
        return bool(self._unsent_bytes) or (self.stream is None and now_s - self.since_s > UNREAD_S)

    def drop(self) -> None:
        """Close the connection at once; unsent data is lost."""
        self._registry.discard(self)
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def _enter(self, state: State) -> None:
        self.state = state
        self.since_s = asyncio.get_running_loop().time()
        self._received_bytes = 0


def connection_of(request: web.Request) -> Connection | None:
    """The connection of a request; None if it is closed, or was not accepted by :class:`Connections`."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Connection) else None


class Connections:
    """Accepts connections and enforces the limits on them."""

    def __init__(
        self, server: web.Server, tls: ssl.SSLContext | None, errors: InternalErrors, limit: int = CONNECTIONS
    ) -> None:
        """Make an acceptor; :meth:`listen` opens the addresses.

        Args:
            server: makes aiohttp's protocol for each connection (``web.AppRunner.server``).
            tls: TLS context for HTTPS; None: plain HTTP.
            errors: counts unexpected errors.
            limit: most connections, if there are enough file descriptors.
        """
        self.dropped: Counter[Dropped] = Counter()
        """Connections that the server closed, by reason."""
        self.open: set[Connection] = set()
        self._server = server
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._log = RepeatedLog(LOG, self._loop.time)
        self._listeners: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._errors = errors
        self._limit = max(8, min(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // DESCRIPTOR_SHARE))

    async def listen(self, host: str, port: int) -> list[tuple[str, int]]:
        """Listen and accept; returns the addresses, with the chosen port instead of port 0.

        Raises:
            OSError: the address is unknown, not local, or in use.
        """
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            listener = socket.create_server(address[:2], family=family, backlog=128)
            self._listeners.append(listener)
            listener.setblocking(False)
            # Accepted connections inherit the sizes. Otherwise the kernel grows each buffer to megabytes.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        runs: list[Callable[[], Awaitable[None]]] = [self._watch]
        runs += [partial(self._accept, listener) for listener in self._listeners]
        self._tasks = [asyncio.create_task(supervised(run, "http", self._errors), name="http") for run in runs]
        return [listener.getsockname()[:2] for listener in self._listeners]

    async def stop_listening(self) -> None:
        """Stop accepting; open connections stay."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()

    def drop_all(self) -> None:
        """Close every connection at once."""
        for connection in list(self.open):
            connection.drop()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, address = await self._loop.sock_accept(listener)
            except OSError as error:
                self._log.warning("accept", f"no HTTP connection accepted, trying again: error={error.strerror}")
                if error.errno in _EXHAUSTED:
                    self._give_up_one()
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            try:
                while len(self.open) >= self._limit and not self._give_up_one():  # noqa: ASYNC110 - patience frees places
                    await asyncio.sleep(ACCEPT_RETRY_S)
                # An accept that need not wait does not yield: a flood of connections must not block the event loop.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                client.close()
                raise
            self._open(client, str(address[0]))

    def _open(self, client: socket.socket, address: str) -> None:
        connection = Connection(self.open, self._server(), address, self._loop.time())
        connection.opening = opening = asyncio.create_task(self._opened(connection, client), name="http open")

        def ended(_: asyncio.Task[None]) -> None:
            if connection.opening is not opening:
                return
            # Cancelled or failed, perhaps before a transport existed that would close the socket.
            self.open.discard(connection)
            client.close()

        opening.add_done_callback(ended)

    async def _opened(self, connection: Connection, client: socket.socket) -> None:
        handshake_s = REQUEST_S if self._tls is not None else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, client, ssl=self._tls, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:  # TLS errors among them
            self._log.warning("open", f"connection not opened: from={connection.address} error={error}")
        else:
            connection.opening = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_PERIOD_S)
            now_s = self._loop.time()
            for connection in list(self.open):
                reason = connection.check(now_s)
                if reason is not None:
                    self._drop(connection, reason)
                elif connection.unused(now_s):
                    connection.drop()

    def _give_up_one(self) -> bool:
        """Evict the connection for which :class:`State` and age say so; False if all are being served."""
        now_s = self._loop.time()
        candidates = [connection for connection in self.open if connection.may_go(now_s)]
        if not candidates:
            return False
        crowd = Counter(connection.address for connection in self.open)
        self._drop(min(candidates, key=lambda c: (-crowd[c.address], c.state, c.since_s)), Dropped.CROWDED)
        return True

    def _drop(self, connection: Connection, reason: Dropped) -> None:
        self.dropped[reason] += 1
        self._log.warning(reason, f"connection dropped: from={connection.address} reason={reason}")
        connection.drop()
