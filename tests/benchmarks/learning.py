"""What learning costs a whole plant: channels over mosquitto that learn from recordings, with time compressed.

    python tests/benchmarks/learning.py [--channels 1000] [--speed 4] [--timeout 20m]

The daemon starts from an empty state directory with a configuration of five lines. The channels replay healthy
recordings of a bearing rig (``VIBRATION_DATA``), each from another place and at another gain, as if they had been
sampled at 1,280 Hz. ``learning`` is compressed by its own keys. When all channels are watched, a tenth of them get the
recording of a fault. Printed are how many channels alarm that should and that should not, memory and disk a channel,
scrape times, and the longest times for which the event loop did not answer, while learning and after. A scrape's time
includes the time to send the page; the event loop's delay is measured from outside, by requests of a health check.
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.bench.load import publish_packet
from monitor.core.arrays import Float32
from monitor.quantities import seconds
from monitor.runtime.web import procfs
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.recordings import recording_file
from tests.support.servers import mosquitto, wait_for

RATE_HZ = 1280
KINDS = ("ball", "inner", "outer")
CONFIGURATION = """\
sensors: [{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 1280}}]
learning: {{enabled: true, duration: 120s, minimum: 30s, settle: 2s}}
state_dir: {folder}
scoring: {{interval: 1s, rate_tolerance: 1000}}
"""


def samples(name: str) -> Float32:
    with np.load(recording_file(f"uestc/{name}.npz")) as stored:
        return np.asarray(stored["acceleration"], np.float32)


class Plant:
    """Sends a second of every channel after the other until stopped."""

    def __init__(self, port: int, channels: int, speed: float) -> None:
        self._speed, self._channels = speed, channels
        self._healthy = samples("healthy_1000rpm")
        self._faults = [samples(f"{kind}_1000rpm") for kind in KINDS]
        rng = np.random.default_rng(0)
        self._gain = np.exp(rng.normal(0.0, 0.5, channels)).astype(np.float32)
        self._start = rng.integers(0, self._healthy.size - RATE_HZ, channels)
        self.faulty: set[int] = set()
        self._stop = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", port, keepalive=3600)
        while not client.is_connected():
            client.loop(0.1)
        connection: Any = client.socket()
        connection.setblocking(True)
        self._client, self._socket = client, connection
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began_s, second = time.monotonic(), 0
        while not self._stop.is_set():
            for tenth in range(10):
                part = range(tenth * self._channels // 10, (tenth + 1) * self._channels // 10)
                packets = b"".join(self._packet(channel, second) for channel in part)
                due_s = began_s + (second + tenth / 10) / self._speed
                time.sleep(max(0.0, due_s - time.monotonic()))
                self._socket.sendall(packets)
            second += 1

    def _packet(self, channel: int, second: int) -> bytes:
        source = self._faults[channel % len(KINDS)] if channel in self.faulty else self._healthy
        first = int(self._start[channel] + second * RATE_HZ) % (source.size - RATE_HZ)
        payload = (self._gain[channel] * source[first : first + RATE_HZ]).astype("<f4").tobytes()
        return publish_packet(f"plant/m{channel}/x", payload)


class Answers:
    """Times of requests to a daemon, one after the other, on a thread."""

    def __init__(self, address: str, path: str, pause_s: float) -> None:
        self._url, self._pause_s = address + path, pause_s
        self.times_s: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> str:
        """Stop asking; the median, 99th percentile and longest time."""
        self._stop.set()
        self._thread.join()
        times_ms = 1000 * np.array(self.times_s)
        middle, high = np.percentile(times_ms, [50, 99])
        return f"median {middle:.1f} ms, 99 % {high:.1f} ms, longest {times_ms.max():.1f} ms of {times_ms.size}"

    def _run(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            with contextlib.suppress(OSError), urllib.request.urlopen(self._url, timeout=30) as answer:
                answer.read()
                self.times_s.append(time.monotonic() - began_s)
            time.sleep(self._pause_s)


@contextlib.contextmanager
def measured(daemon: RunningDaemon, what: str, channels: int) -> Iterator[None]:
    """Print what it takes meanwhile."""
    healthy, scrapes = Answers(daemon.address, "/-/healthy", 0.02), Answers(daemon.address, "/metrics", 2.0)
    yield
    print(f"{what}: a health check takes {healthy.stop()}")
    print(f"{what}: a scrape takes {scrapes.stop()}")
    for pid in [daemon.process.pid, *procfs.children(daemon.process.pid)]:
        name = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[-4:-1]
        print(f"{what}: {procfs.proportional_bytes(pid) / 2**20:6.0f} MiB  {procfs.cpu_s(pid):7.1f} s CPU  {name[:1]}")
    folder = daemon.config.parent / "state" / "learning"
    sizes = [file.stat().st_size for file in folder.glob("*.learning")]
    if sizes:
        print(f"{what}: {len(sizes)} files, {sum(sizes) / channels / 1000:.0f} kB a channel, largest {max(sizes)} B")


def series(daemon: RunningDaemon, start: str, end: str) -> list[str]:
    """The lines of a scrape that begin and end so; a parser would take seconds for a thousand channels."""
    with urllib.request.urlopen(f"{daemon.address}/metrics", timeout=120) as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith(start) and line.endswith(end)]


def states(daemon: RunningDaemon) -> Counter[str]:
    """How many channels are in each state."""
    lines = series(daemon, "vibration_channel_state{", " 1")
    return Counter(line.split('state="')[1].split('"')[0] for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--speed", type=float, default=4.0, help="seconds of each channel sent in a second")
    parser.add_argument("--timeout", default="20m")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, mosquitto(Path(name)) as port:
        folder = Path(name)
        text = CONFIGURATION.format(folder=folder / "state")
        with running_daemon(folder, port, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            plant = Plant(port, given.channels, given.speed)
            began_s = time.monotonic()
            end_s = began_s + float(seconds(given.timeout))
            with measured(daemon, "learning", given.channels):
                while (found := states(daemon))["watched"] < given.channels and time.monotonic() < end_s:
                    print(f"{time.monotonic() - began_s:6.0f} s: {dict(found)}", flush=True)
                    time.sleep(15)
            took_s = time.monotonic() - began_s
            watched = found["watched"]
            print(f"{watched} of {given.channels} channels are watched after {took_s:.0f} s, without a command")
            skipped = sum(daemon.values("vibration_blocks_skipped_total", reason="overload"))
            lost = daemon.value("vibration_learning_intervals_lost_total")
            print(f"blocks skipped because of overload {skipped:.0f}; intervals lost {lost:.0f}")
            with measured(daemon, "watched", given.channels):
                time.sleep(60 / given.speed)
                early = len(series(daemon, "vibration_alarm_state{", " 2"))
                plant.faulty = set(range(0, given.channels, 10))
                time.sleep(60 / given.speed)
            plant.stop()
            alarmed = _alarmed(daemon)
            right = len(alarmed & plant.faulty)
            print(f"healthy channels in alarm before any fault: {early}")
            print(f"with faults: {right} of {len(plant.faulty)} alarm; {len(alarmed - plant.faulty)} others alarm")
    return 0 if watched == given.channels and right == len(plant.faulty) else 1


def _alarmed(daemon: RunningDaemon) -> set[int]:
    """Numbers of the channels in alarm."""
    return {int(line.split('machine="m')[1].split('"')[0]) for line in series(daemon, "vibration_alarm_state{", " 2")}


if __name__ == "__main__":
    sys.exit(main())
