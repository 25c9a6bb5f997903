"""Server-sent events for many browsers: each message is made once, and a client that does not read is dropped.

A feed holds only the latest message. Each client waits for a newer one, so a slow client misses messages instead of
queueing them, and a stuck client holds one message until it is dropped. At the limit of streams, a new client evicts a
stream of the address that has the most. Server-sent events follow the HTML standard, section 9.2.
"""

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any

from aiohttp import web

from monitor.runtime.web.border.connections import connection_of

CLIENT_LIMIT = 64
"""Most streams; further ones get 503. Lower: a control room with many screens is refused. Higher: viewers use more
memory and CPU time."""

STUCK_AFTER_S = 10.0
"""A client that reads nothing of a message for this long is dropped. Lower: a laptop that sleeps for a moment has to
reconnect. Higher: stuck clients hold their message for longer."""

CHUNK_BYTES = 16_384
"""Size of the pieces in which a message goes to the transport, which bounds the transport's buffer."""

BUFFER_BYTES = 65_536
"""Size of a client's send buffer in the transport, and again in the kernel."""

RETRY_AFTER_S = 5


class Feed:
    """The latest message, and a way to wait for the next."""

    def __init__(self) -> None:
        self.version = 0
        """Number of messages so far."""
        self.message = b""
        """The latest message."""
        self._news = asyncio.Event()

    def publish(self, message: bytes) -> None:
        """Replace the latest message and wake all waiting clients."""
        self.version += 1
        self.message = message
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def newer(self, version: int) -> int:
        """Wait until there is a message after ``version``; returns the latest version."""
        while self.version <= version:
            await self._news.wait()
        return self.version


class Streams:
    """All open streams of the page."""

    def __init__(self, limit: int = CLIENT_LIMIT, stuck_after_s: float = STUCK_AFTER_S) -> None:
        self.refused = 0
        """Streams refused because of the limit."""
        self.dropped = 0
        """Clients dropped because they did not read."""
        self._limit = limit
        self.stuck_after_s = stuck_after_s
        """Seconds after which a client that reads nothing is dropped."""
        self._viewers: dict[asyncio.Task[None], str] = {}

    @property
    def open(self) -> int:
        """Number of open streams."""
        return len(self._viewers)

    async def serve(
        self, request: web.Request, make_messages: Callable[[], AsyncGenerator[bytes]], headers: dict[str, str]
    ) -> web.StreamResponse:
        """Send messages to one client until it leaves, gets stuck, or the server ends."""
        if self.open >= self._limit and not self._make_room(request.remote or ""):
            self.refused += 1
            text = f"{self._limit} viewers are connected already; try again later\n"
            return web.Response(status=503, text=text, headers={"Retry-After": str(RETRY_AFTER_S), **headers})
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", **headers}
        )
        _bound_buffers(request)
        # The pump is a separate task, so that a stopping server or a leaving client can cancel it without an error.
        pump = asyncio.create_task(self._pump(request, response, make_messages()), name="page stream")
        self._viewers[pump] = request.remote or ""
        pump.add_done_callback(lambda _: self._viewers.pop(pump, None))
        if (connection := connection_of(request)) is not None:
            connection.stream = pump
        await asyncio.wait({pump})
        if not pump.cancelled():
            pump.result()
        return response

    def _make_room(self, address: str) -> bool:
        """Evict the oldest stream of the address with the most; False if ``address`` would then have more than it."""
        held = Counter(self._viewers.values())
        crowd, most = held.most_common(1)[0]
        if most <= held[address] + 1:
            return False
        oldest = next(pump for pump, viewer in self._viewers.items() if viewer == crowd)
        del self._viewers[oldest]
        oldest.cancel()
        return True

    async def close(self) -> None:
        """Close all streams."""
        pumps = list(self._viewers)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, request: web.Request, response: web.StreamResponse, messages: AsyncGenerator[bytes]) -> None:
        try:
            await response.prepare(request)
            async with contextlib.aclosing(messages):
                async for message in messages:
                    for start in range(0, len(message), CHUNK_BYTES):
                        async with asyncio.timeout(self.stuck_after_s):
                            await response.write(message[start : start + CHUNK_BYTES])
        except ConnectionError:
            pass  # the client left
        except TimeoutError:
            self.dropped += 1
            if request.transport is not None:
                request.transport.abort()


def _bound_buffers(request: web.Request) -> None:
    transport = request.transport
    if not isinstance(transport, asyncio.WriteTransport):
        return
    transport.set_write_buffer_limits(high=BUFFER_BYTES)
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):  # the client has just left
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


def event(kind: str, document: dict[str, Any]) -> bytes:
    """One server-sent event with a JSON document."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), compact(document))


def compact(document: Any) -> bytes:
    """Compact JSON; raises ValueError on NaN, which JSON does not have."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
