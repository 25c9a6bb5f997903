"""What learning costs a whole plant: channels over mosquitto that learn from recordings, with time compressed.

    python tests/benchmarks/learning.py [--channels 1000] [--speed 4] [--timeout 40m]

The daemon starts from an empty state directory with a configuration of five lines. The channels replay the first part
of a healthy recording of a bearing rig (``VIBRATION_DATA``), each at another gain and with the seconds in another
order, so that minutes see all of it, as if it had been sampled at 1,280 Hz. ``learning`` is compressed by its own keys.
When all channels are watched, they get the part of the healthy recording that was held back, then a tenth of them the
recording of a fault. Printed are how many channels alarm that should and that should not, memory and disk a channel,
scrape times, and the event loop's callbacks in processor time, which a busy machine does not change: without learning,
while learning, and after.
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.bench.load import publish_packet
from monitor.core.arrays import Float32
from monitor.quantities import seconds
from monitor.runtime.processes import procfs
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.event_loop.loop_times import described, read_seconds
from tests.support.recordings import recording_file
from tests.support.servers import mosquitto, wait_for

RATE_HZ = 1280
KINDS = ("ball", "inner", "outer")
CONFIGURATION = """\
sensors: [{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 1280}}]
learning: {{enabled: {enabled}, duration: {duration}, minimum: {minimum}, settle: 2s}}
state_dir: {folder}
scoring: {{interval: 1s, rate_tolerance: 1000}}
limits: {{channels: {channels}, buffer: 20s}}
"""
HELD_BACK = 0.4
"""Share of the healthy recording that nothing is learned from."""


def samples(name: str) -> Float32:
    with np.load(recording_file(f"uestc/{name}.npz")) as stored:
        return np.asarray(stored["acceleration"], np.float32)


MESSAGE_S = 2
"""Seconds of a channel in a message."""

AHEAD_S = 8
"""Seconds of all channels that are sent ahead of what the daemon has taken: a busy machine slows the plant down, and
nothing piles up in the broker."""


class Plant:
    """Sends some seconds of every channel after the other until stopped.

    Its clock stands while the learner is at work: in days of learning there is time for that, in minutes there is not.
    """

    def __init__(self, port: int, channels: int, speed: float) -> None:
        self._speed, self._channels = speed, channels
        healthy = samples("healthy_1000rpm")
        border = int((1 - HELD_BACK) * healthy.size)
        self._healthy, self._held_back = healthy[:border], healthy[border:]
        self._faults = [samples(f"{kind}_1000rpm") for kind in KINDS]
        rng = np.random.default_rng(0)
        self._gain = np.exp(rng.normal(0.0, 0.5, channels)).astype(np.float32)
        self._start = rng.random(channels)
        self.held_back = False
        self.faulty: set[int] = set()
        self.taken_s = 0.0
        """Seconds of each channel that the daemon has taken, as far as is known."""
        self.learner: int | None = None
        """Process identifier of the learner."""
        self.sent_s = 0
        """Seconds of each channel sent so far."""
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

    def __len__(self) -> int:
        return self._channels

    def stop(self) -> None:
        """Stop sending."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.is_set():
            for tenth in range(10):
                part = range(tenth * self._channels // 10, (tenth + 1) * self._channels // 10)
                packets = b"".join(self._packet(channel, self.sent_s) for channel in part)
                due_s = max(due_s + 0.1 * MESSAGE_S / self._speed, time.monotonic())
                time.sleep(max(0.0, due_s - time.monotonic()))
                self._socket.sendall(packets)
            self.sent_s += MESSAGE_S
            while (self.sent_s > self.taken_s + AHEAD_S or self._fits()) and not self._stop.is_set():
                time.sleep(0.05)

    def _fits(self) -> bool:
        """Whether the learner is at work."""
        try:
            return self.learner is not None and procfs_state(self.learner) == "R"
        except OSError:
            return False

    def _packet(self, channel: int, second: int) -> bytes:
        healthy = self._held_back if self.held_back else self._healthy
        source = self._faults[channel % len(KINDS)] if channel in self.faulty else healthy
        count = MESSAGE_S * RATE_HZ
        place = (self._start[channel] + 0.618034 * (second // MESSAGE_S)) % 1.0
        first = int(place * (source.size - count))
        payload = (self._gain[channel] * source[first : first + count]).astype("<f4").tobytes()
        return publish_packet(f"plant/m{channel}/x", payload)


class Answers:
    """Times of requests to a daemon, one after the other, on a thread."""

    def __init__(self, address: str, path: str, pause_s: float, hear: Callable[[bytes], object]) -> None:
        self._url, self._pause_s, self._hear = address + path, pause_s, hear
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
                body = answer.read()
                self.times_s.append(time.monotonic() - began_s)
                self._hear(body)
            time.sleep(self._pause_s)


@dataclass
class Measured:
    """What one stage takes."""

    daemon: RunningDaemon
    loop_times: Path
    channels: Plant
    most_bytes: int = 0
    """Largest proportional memory of all processes together that was seen."""

    def look(self) -> None:
        """Look at the memory now."""
        self.most_bytes = max(self.most_bytes, sum(procfs.proportional_bytes(pid) for pid in self._processes()))

    def sent(self, more_s: int) -> None:
        """Wait until so many more seconds of each channel have been sent and taken."""
        end_s = self.channels.sent_s + more_s
        while self.channels.taken_s < end_s:
            time.sleep(0.5)

    @contextlib.contextmanager
    def stage(self, what: str, channels: int) -> Iterator[None]:
        """Print what it takes meanwhile."""
        began_s, self.most_bytes = time.monotonic(), 0
        before = {pid: procfs.cpu_s(pid) for pid in self._processes()}
        scrapes = Answers(self.daemon.address, "/metrics", 2.0, self._hear)
        yield
        self.look()
        print(f"{what}: a scrape takes {scrapes.stop()}")
        print(f"{what}: {described(read_seconds(self.loop_times, began_s, time.monotonic()))}")
        wall_s = time.monotonic() - began_s
        for pid in self._processes():
            name = next((part for part in _arguments(pid) if part.startswith("monitor.")), "daemon")
            share = (procfs.cpu_s(pid) - before.get(pid, 0.0)) / wall_s
            print(f"{what}: {procfs.proportional_bytes(pid) / 2**20:6.0f} MiB  {100 * share:4.0f} % of a core  {name}")
        print(f"{what}: at most {self.most_bytes / channels / 1000:.1f} kB of memory a channel", flush=True)
        sizes = [
            file.stat().st_size
            for kind in ("learning", "baselines")
            for file in (self.daemon.config.parent / "state" / kind).glob("*")
        ]
        if sizes:
            print(
                f"{what}: {len(sizes)} files, {sum(sizes) / channels / 1000:.0f} kB a channel, largest {max(sizes)} B"
            )

    def _hear(self, page: bytes) -> None:
        """Tell the plant how much the daemon has taken."""
        line = next(line for line in page.splitlines() if line.startswith(b"vibration_mqtt_messages_received_total"))
        self.channels.taken_s = float(line.split()[-1]) * MESSAGE_S / len(self.channels)
        learners = [pid for pid in self._processes() if "monitor.runtime.learning.learner" in _arguments(pid)]
        self.channels.learner = next(iter(learners), None)

    def _processes(self) -> list[int]:
        pid = self.daemon.process.pid
        return [pid, *procfs.children(pid)]


def procfs_state(pid: int) -> str:
    """State of a process: R while it works."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def series(daemon: RunningDaemon, start: str, end: str) -> list[str]:
    """The lines of a scrape that begin and end so; a parser would take seconds for a thousand channels."""
    with urllib.request.urlopen(f"{daemon.address}/metrics", timeout=120) as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith(start) and line.endswith(end)]


def states(daemon: RunningDaemon) -> Counter[str]:
    """How many channels are in each state."""
    lines = series(daemon, "vibration_channel_state{", " 1")
    return Counter(line.split('state="')[1].split('"')[0] for line in lines)


@contextlib.contextmanager
def plant(given: argparse.Namespace, *, enabled: bool) -> Iterator[tuple[Measured, Plant]]:
    """A daemon and its channels."""
    with tempfile.TemporaryDirectory() as name, mosquitto(Path(name)) as port:
        folder = Path(name)
        about = {"duration": given.duration, "minimum": given.minimum, "channels": given.channels}
        text = CONFIGURATION.format(folder=folder / "state", enabled=str(enabled).lower(), **about)
        times = folder / "loop_times.json"
        with running_daemon(folder, port, text, program=("-m", "tests.support.event_loop.loop_times", times)) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            channels = Plant(port, given.channels, given.speed)
            try:
                yield Measured(daemon, times, channels), channels
            finally:
                channels.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--speed", type=float, default=4.0, help="seconds of each channel sent in a second, at most")
    parser.add_argument("--duration", default="240s", help="learning.duration")
    parser.add_argument("--minimum", default="60s", help="learning.minimum")
    parser.add_argument("--timeout", default="40m")
    given = parser.parse_args()
    with plant(given, enabled=False) as (measured, _), measured.stage("without", given.channels):
        measured.sent(60)
    without = measured.most_bytes
    with plant(given, enabled=True) as (measured, channels):
        return learned(given, measured, channels, without)


def learned(given: argparse.Namespace, measured: Measured, channels: Plant, without: int) -> int:
    """All learn, then the held-back recordings; prints what happens."""
    daemon, began_s = measured.daemon, time.monotonic()
    end_s = began_s + float(seconds(given.timeout))
    with measured.stage("learning", given.channels):
        while (found := states(daemon))["watched"] < given.channels and time.monotonic() < end_s:
            print(f"{time.monotonic() - began_s:6.0f} s, {channels.sent_s} s sent: {dict(found)}", flush=True)
            measured.look()
            time.sleep(15)
    learning, watched = measured.most_bytes, found["watched"]
    print(f"{watched} of {given.channels} are watched after {time.monotonic() - began_s:.0f} s, without a command")
    skipped = sum(daemon.values("vibration_blocks_skipped_total", reason="overload"))
    lost = daemon.value("vibration_learning_intervals_lost_total")
    print(f"blocks skipped because of overload {skipped:.0f}; intervals lost {lost:.0f}")
    with measured.stage("watched", given.channels):
        channels.held_back = True
        measured.sent(60)
        early = len(series(daemon, "vibration_alarm_state{", " 2"))
        channels.faulty = set(range(0, given.channels, 10))
        measured.sent(60)
    more = [(one - without) / given.channels / 1000 for one in (learning, measured.most_bytes)]
    print(f"memory a channel, besides that without learning: {more[0]:.1f} kB learning, {more[1]:.1f} kB watched")
    channels.stop()
    alarmed = _alarmed(daemon)
    right = len(alarmed & channels.faulty)
    print(f"healthy channels in alarm before any fault: {early}")
    print(f"with faults: {right} of {len(channels.faulty)} alarm; {len(alarmed - channels.faulty)} others alarm")
    return 0 if watched == given.channels and right == len(channels.faulty) else 1


def _alarmed(daemon: RunningDaemon) -> set[int]:
    """Numbers of the channels in alarm."""
    return {int(line.split('machine="m')[1].split('"')[0]) for line in series(daemon, "vibration_alarm_state{", " 2")}


if __name__ == "__main__":
    sys.exit(main())
