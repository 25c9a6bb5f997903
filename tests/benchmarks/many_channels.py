"""What start, scrape, page, saving and a reload take at 10,000 and 100,000 channels: none grows faster than they.

A whole daemon runs in a process for each number of channels; its broker is away, and a message of each channel is
handed to its intake. Printed is the processor time of the daemon's own process, which other work on the machine hardly
disturbs, and how much more a channel takes where there are more of them.

    python tests/benchmarks/many_channels.py [--channels 10000 100000] [--json]
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.config.file import read_config
from monitor.runtime.daemon import Daemon
from monitor.runtime.processes import garbage, procfs
from monitor.runtime.web.page.documents import FleetMessages, channels_document
from monitor.runtime.web.page.fleet import Fleet
from monitor.runtime.web.page.stream import compact
from tests.support.servers import free_port

CONFIGURATION = """
mqtt: {{url: 'mqtt://127.0.0.1:{port}'}}
models: {{default: {model}}}
sensors: [{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 1280, unit: m/s2}}]
limits: {{channels: {channels}, buffer: 0.5s}}
inference: {{workers: 1}}
http: {{listen: '127.0.0.1:0', page: false}}
state_dir: {folder}/state
"""
MODEL = Path(__file__).resolve().parents[2] / "models" / "reference"

PAYLOAD = bytes(4 * 100)
"""A message: one block."""

REPEATS = 3
"""The least of so many times counts, for what can be repeated."""


def measure(channels: int) -> dict[str, float]:
    """Processor seconds of each thing, and the memory, with so many channels."""
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        began_s = time.process_time()
        work()
        found[name] = min(found.get(name, float("inf")), time.process_time() - began_s)

    def deliver(daemon: Daemon) -> None:
        for i in range(channels):
            daemon.ingest.deliver(f"plant/m{i}/x", PAYLOAD)

    async def first_run(config: Path) -> None:
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        garbage.settle()
        try:
            timed("first messages", lambda: deliver(daemon))
            garbage.settle()  # the daemon freezes them as they come
            await asyncio.gather(*(loaded.inference.obeyed() for loaded in daemon._lanes.values()))
            timed("messages", lambda: deliver(daemon))
            fleet = Fleet(channels)
            messages = FleetMessages(fleet)
            for _ in range(REPEATS):
                timed("scrape", daemon.metrics_page)
                timed("page, a second", lambda: fleet.sample(daemon.view()))
                timed("page, its update", lambda: messages.publish(daemon.view(), daemon))
                timed("page, all of it", lambda: compact(channels_document(fleet, daemon.view(), daemon)))
                began_s = time.process_time()
                await daemon._saving.save()
                found["saving"] = min(found.get("saving", float("inf")), time.process_time() - began_s)
            began_s = time.process_time()
            await daemon.reload()
            found["reload"] = time.process_time() - began_s
            pids = [pid for loaded in daemon._lanes.values() for pid in loaded.inference.pids]
            found["memory, MB"] = sum(map(procfs.proportional_bytes, [os.getpid(), *pids])) / 1e6
        finally:
            await daemon.close()

    async def second_run(config: Path) -> None:
        began_s = time.process_time()
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        found["start with their state"] = time.process_time() - began_s
        assert len(daemon.ingest.channels) == channels
        await daemon.close()

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        text = CONFIGURATION.format(port=free_port(), model=MODEL, channels=channels, folder=folder)
        config.write_text(text, encoding="utf-8")
        asyncio.run(first_run(config))
        gc.collect()
        asyncio.run(second_run(config))
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one)))
        return
    results = {}
    for count in given.channels:
        command = [sys.executable, __file__, "--one", str(count)]
        results[count] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    if given.json:
        print(json.dumps(results))
        return
    few, many = min(results), max(results)
    print(f"{'processor seconds':24} {few:>9,} {many:>9,}   a channel")
    for name in results[few]:
        one, other = results[few][name], results[many][name]
        print(f"{name:24} {one:9.3f} {other:9.3f}   x {other / one / (many / few):.2f}")


if __name__ == "__main__":
    main()
