import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from monitor.runtime.log.internal_errors import InternalErrors
from monitor.runtime.web.border import connections as module
from monitor.runtime.web.border.connections import Connections, Dropped
from monitor.runtime.web.page.stream import Streams
from tests.support.authority import Authority
from tests.support.servers import until

LIMIT = 8
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Site:
    """A server with few places."""

    connections: Connections
    port: int
    errors: InternalErrors
    release: asyncio.Event
    streams: Streams

    async def client(self, source: str = "127.0.0.1", *, send: bytes = b"") -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        writer.write(send)
        return Client(reader, writer)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, path: str = "/") -> bytes:
        """The status line; empty if the server has ended the connection."""
        try:
            self.writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            status = await self.reader.readline()
            await self.reader.readuntil(b"\r\n\r\n")
            await self.reader.readexactly(2)
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""
        return status.strip()

    async def is_ended(self) -> bool:
        try:
            return not await self.reader.read(1)
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def site(tls: ssl.SSLContext | None = None, folder: Path | None = None) -> AsyncIterator[Site]:
    release = asyncio.Event()

    @web.middleware
    async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = module.connection_of(request)
        assert connection is not None
        connection.request_begins()
        try:
            answer = await handler(request)
            await answer.prepare(request)
            await answer.write_eof()
            return answer
        finally:
            connection.request_ends()

    async def quick(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="ok")

    app = web.Application(middlewares=[noted])
    app.router.add_get("/", quick)
    streams = Streams(limit=4)

    async def stream(request: web.Request) -> web.StreamResponse:
        async def messages() -> AsyncGenerator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

        return await streams.serve(request, messages, {})

    app.router.add_get("/slow", slow)
    app.router.add_get("/stream", stream)
    if folder is not None:
        app.router.add_static("/files", folder)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    errors = InternalErrors(asyncio.get_running_loop().time)
    connections = Connections(runner.server, tls, errors, LIMIT)
    try:
        _, port = (await connections.listen("127.0.0.1", 0))[0]
        yield Site(connections, port, errors, release, streams)
    finally:
        release.set()
        await streams.close()
        await connections.stop_listening()
        await runner.cleanup()
        connections.drop_all()
        await until(lambda: not connections.open)
        assert not errors.counts


def told(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(story(), 60)

    asyncio.run(main())


def test_a_crowd_makes_room_among_itself() -> None:
    async def story() -> None:
        async with site() as here:
            scraper = await here.client("127.0.0.1")
            assert await scraper.ask() == b"HTTP/1.1 200 OK"
            crowd = [await here.client("127.0.0.2", send=GET[:10]) for _ in range(5 * LIMIT)]
            await until(lambda: here.connections.dropped[Dropped.CROWDED] == 4 * LIMIT + 1)
            assert len(here.connections.open) == LIMIT
            assert await scraper.ask() == b"HTTP/1.1 200 OK"
            # The newest of the crowd are there, the others are not.
            for client in crowd[: -(LIMIT - 1)]:
                assert await client.is_ended()
            crowd[-1].writer.write(GET[10:])
            assert (await crowd[-1].reader.readline()).startswith(b"HTTP/1.1 200")
            for client in (scraper, *crowd):
                client.writer.close()

    told(story)


def test_who_waits_between_requests_goes_after_those_who_never_asked() -> None:
    async def story() -> None:
        async with site() as here:
            asked = [await here.client() for _ in range(4)]
            for client in asked:
                assert await client.ask()
            silent = [await here.client() for _ in range(4)]
            await until(lambda: len(here.connections.open) == LIMIT)
            late = [await here.client() for _ in range(6)]
            for client in late[-4:]:
                assert await client.ask()
            for client in silent:
                assert await client.is_ended()
            assert here.connections.dropped == {Dropped.CROWDED: 6}
            for client in (*asked, *silent, *late):
                client.writer.close()

    told(story)


def test_who_is_served_keeps_the_place_and_newcomers_wait() -> None:
    async def story() -> None:
        async with site() as here:
            served = [await here.client() for _ in range(LIMIT)]
            answers = [asyncio.create_task(client.ask("/slow")) for client in served]
            await until(lambda: sum(c.state is module.State.ANSWERING for c in here.connections.open) == LIMIT)
            newcomer = await here.client()
            answer = asyncio.create_task(newcomer.ask())
            await asyncio.sleep(3 * module.ACCEPT_RETRY_S)
            assert not answer.done()
            here.release.set()
            assert set(await asyncio.gather(*answers, answer)) == {b"HTTP/1.1 200 OK"}
            for client in (*served, newcomer):
                client.writer.close()

    told(story)


@pytest.mark.parametrize("name", ["REQUEST_S", "KEEPALIVE_S", "UNREAD_S"])
def test_patience_ends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr(module, "CHECK_PERIOD_S", 0.02)

    async def story() -> None:
        async with site() as here:
            if name == "UNREAD_S":
                with socket.socket() as deaf:
                    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    deaf.setblocking(False)
                    loop = asyncio.get_running_loop()
                    await loop.sock_connect(deaf, ("127.0.0.1", here.port))
                    await loop.sock_sendall(deaf, 2_000 * GET)
                    await until(lambda: bool(here.connections.dropped[Dropped.UNREAD_ANSWER]))
            else:
                client = await here.client(send=GET[:10] if name == "REQUEST_S" else b"")
                if name == "KEEPALIVE_S":
                    assert await client.ask()
                assert await client.is_ended()
                client.writer.close()
                assert sum(here.connections.dropped.values()) == (name == "REQUEST_S")
            await until(lambda: not here.connections.open)

    told(story)


def test_a_viewer_that_left_is_forgotten_though_there_is_no_news() -> None:
    async def story() -> None:
        async with site() as here:
            viewers = [await here.client(send=GET.replace(b"/ ", b"/stream ")) for _ in range(3)]
            await until(lambda: here.streams.open == 3)
            for viewer in viewers:
                viewer.writer.close()
            await until(lambda: not here.streams.open and not here.connections.open)

    told(story)


def test_one_address_does_not_keep_all_streams() -> None:
    async def story() -> None:
        async with site() as here:
            view = GET.replace(b"/ ", b"/stream ")
            crowd = [await here.client("127.0.0.2", send=view) for _ in range(5)]
            await until(lambda: (here.streams.open, here.streams.refused) == (4, 1))
            friends = [await here.client("127.0.0.3", send=view) for _ in range(3)]
            for friend in friends[:2]:
                assert (await friend.reader.readline()).startswith(b"HTTP/1.1 200")
            assert (await friends[2].reader.readline()).startswith(b"HTTP/1.1 503")
            await until(lambda: (here.streams.open, here.streams.refused) == (4, 2))
            for client in (*crowd, *friends):
                client.writer.close()

    told(story)


def test_a_file_goes_through(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 8_000)

    async def story() -> None:
        async with site(folder=tmp_path) as here:
            client = await here.client(send=b"GET /files/file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await client.reader.read()
            assert answer.endswith(b"\r\n\r\n" + (tmp_path / "file").read_bytes())
            client.writer.close()

    told(story)


def test_a_handshake_that_does_not_go_on_holds_no_place(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.sign("monitor")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def story() -> None:
        async with site(tls) as here:
            silent = [await here.client() for _ in range(2 * LIMIT)]
            plain = await here.client(send=GET)
            assert await plain.is_ended()
            trust = ssl.create_default_context(cafile=authority.certificate)
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port, ssl=trust)
            client = Client(reader, writer)
            assert await client.ask() == b"HTTP/1.1 200 OK"
            assert here.connections.dropped[Dropped.CROWDED] >= LIMIT
            assert len(here.connections.open) <= LIMIT
            for one in (client, plain, *silent):
                one.writer.close()

    told(story)
