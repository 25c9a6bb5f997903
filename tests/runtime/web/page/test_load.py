import asyncio
import resource
import socket
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from monitor.config.configuration import Http
from monitor.runtime.web.page.routes import PAGE
from monitor.runtime.web.page.stream import CLIENT_LIMIT
from monitor.runtime.web.server import make_app
from tests.support.page.page_plant import Plant

MACHINES = 1000
STUCK = b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


def resident_bytes() -> int:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
def test_clients_that_never_read_harm_neither_memory_nor_scores() -> None:
    plant = Plant(channels=MACHINES)
    for number in range(MACHINES):
        plant.send(f"machine-{number}", plant.noise(8))
    board = plant.lane.board

    async def main() -> None:
        app = make_app(plant, Http())
        page = app[PAGE]
        page.sample_period_s = 3600.0
        page.streams.stuck_after_s = 1.0
        loop = asyncio.get_running_loop()
        async with TestServer(app) as server:
            clients = [socket.socket() for _ in range(200)]
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", server.port))
                await loop.sock_sendall(client, STUCK)
            while page.streams.open + page.streams.refused < len(clients):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            assert page.streams.open == CLIENT_LIMIT
            before_bytes, scored_before = resident_bytes(), int(board.blocks_scored.sum())
            ticks = 0
            while page.streams.open:
                board.rms[:] = plant.rng.lognormal(size=MACHINES)  # every row has news
                plant.send("machine-7", plant.noise(80))
                page.fleet.sample(plant.view())
                page.messages.publish(plant.view(), plant)
                ticks += 1
                await asyncio.sleep(0.01)
            assert page.streams.dropped == CLIENT_LIMIT
            # Unbounded, every client would have a message of 40 kB a tick waiting.
            assert ticks > 20
            assert resident_bytes() - before_bytes < 0.3 * ticks * CLIENT_LIMIT * 40_000
            assert int(board.blocks_scored.sum()) - scored_before >= (ticks - 1) * 10
            for client in clients:
                client.close()

    asyncio.run(asyncio.wait_for(main(), 60))
