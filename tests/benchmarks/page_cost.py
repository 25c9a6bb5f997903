"""What the live page costs the daemon: throughput with nobody looking against throughput with the page open.

A thousand channels are kept saturated through ingest, rings and workers, with the server on the same
event loop, as in the daemon. A client in a process of its own opens and closes the fleet and one channel; windows with
and without it alternate. Printed are the ratio of blocks scored a second, which other work on the machine disturbs, and
that of blocks scored a second of CPU time, which it hardly does.

    python tests/benchmarks/page_cost.py [--channels 1000] [--clients 1] [--pairs 6] [--window 4] [--json]
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from aiohttp.test_utils import TestServer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.config.configuration import Http
from monitor.core.messages.encode import packed_samples
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.runtime.lanes.lane import LaneShape
from monitor.runtime.lanes.orders import Batches
from monitor.runtime.lanes.workers import Inference
from monitor.runtime.processes import procfs
from monitor.runtime.web.page.routes import PAGE
from monitor.runtime.web.server import make_app
from tests.support.page.page_plant import Plant

RATE_HZ = 12_800.0
MODEL = Path(__file__).resolve().parents[2] / "models" / "reference"

CLIENT = """
import socket, sys, threading
connections = []
def read(connection):
    try:
        while connection.recv(65536): pass
    except OSError: pass
for line in sys.stdin:
    for connection in connections:
        connection.shutdown(socket.SHUT_RDWR); connection.close()
    connections.clear()
    port, *paths = line.split()
    for path in paths:
        connection = socket.create_connection(("127.0.0.1", int(port)))
        connection.sendall(f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode())
        threading.Thread(target=read, args=(connection,), daemon=True).start()
        connections.append(connection)
"""


async def saturate(plant: Plant, channels: int) -> None:
    """Keep every channel's buffer half full."""
    rng = np.random.default_rng(0)
    payload = packed_samples(rng.normal(size=1000).astype(np.float32))
    topics = [f"plant/machine-{number}/de/x" for number in range(channels)]
    for topic in topics:
        plant.ingest.deliver(topic, payload)
    rows = [channel.row for channel in plant.ingest.channels.values()]
    while True:
        backlog = plant.lane.rings.backlog()[rows].tolist()
        sent = 0
        for topic, waiting in zip(topics, backlog, strict=True):
            if waiting < 20:
                plant.ingest.deliver(topic, payload)
                sent += 1
                if sent % 20 == 0:
                    await asyncio.sleep(0)
        await asyncio.sleep(0 if sent else 0.001)


async def measure(channels: int, clients: int, pairs: int, window_s: float) -> dict[str, float]:
    """Blocks scored a second without and with the page open, and the median ratio."""
    artefact = load_artefact(MODEL)
    shape = LaneShape("default", channels, 100, 25, 64, parts=min(channels, len(os.sched_getaffinity(0))))
    inference = Inference(shape, artefact, "onnxruntime", Batches())
    inference.wait_until_ready()
    plant = Plant(channels, RATE_HZ, load_engine(artefact, "onnxruntime"), inference=inference)

    def cpu_s() -> float:
        return time.process_time() + sum(map(procfs.cpu_s, inference.pids))

    app = make_app(plant, Http())
    async with TestServer(app) as server:
        feeding = asyncio.create_task(saturate(plant, channels))
        client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, stdin=asyncio.subprocess.PIPE)
        stdin = client.stdin
        if stdin is None:
            raise AssertionError("the client was started with a pipe")
        await asyncio.sleep(3 * window_s / 2)
        rates: dict[bool, list[float]] = {False: [], True: []}
        cpu_rates: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * pairs):
            # Off, on, on, off: a drift of the machine cancels.
            looking = number % 4 in {1, 2}
            paths = ["/api/v1/stream", "/api/v1/channels/stream?machine=machine-7&sensor=de&axis=x"] * clients
            stdin.write((" ".join([str(server.port), *(paths if looking else ())]) + "\n").encode())
            await stdin.drain()
            await asyncio.sleep(window_s / 4)
            if bool(app[PAGE].streams.open) != looking:
                raise AssertionError(f"{app[PAGE].streams.open} streams are open; looking: {looking}")
            began_cpu_s = cpu_s()
            began_s, before = asyncio.get_running_loop().time(), int(plant.lane.board.blocks_scored.sum())
            await asyncio.sleep(window_s)
            took_s = asyncio.get_running_loop().time() - began_s
            scored = int(plant.lane.board.blocks_scored.sum()) - before
            rates[looking].append(scored / took_s)
            cpu_rates[looking].append(scored / (cpu_s() - began_cpu_s))
        stdin.close()
        await client.wait()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    inference.stop()
    return {
        "channels": channels,
        "clients": clients,
        "blocks_per_s_closed": statistics.median(rates[False]),
        "blocks_per_s_open": statistics.median(rates[True]),
        "ratio": _ratio(rates),
        "blocks_per_cpu_s_closed": statistics.median(cpu_rates[False]),
        "blocks_per_cpu_s_open": statistics.median(cpu_rates[True]),
        "cpu_ratio": _ratio(cpu_rates),
    }


def _ratio(rates: dict[bool, list[float]]) -> float:
    """The median over neighbouring windows of open to closed."""
    return statistics.median(on / off for on, off in zip(rates[True], rates[False], strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--window", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(given.channels, given.clients, given.pairs, given.window))
    if given.json:
        print(json.dumps(found))
        return
    print("\n".join(f"{name:>24}  {value:,.4g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
