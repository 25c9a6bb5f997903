"""Channels that send to a topic of Kafka in real time, workers that share them, and what one worker alone scores."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Producer

from monitor.core.arrays import Float32
from monitor.simulation.machine import catalogue
from monitor.simulation.simulator import Simulation
from tests.support.commands import output
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.servers import wait_for

MODEL = "models/reference"
RATE_HZ = 12000
MESSAGE = 1200
KINDS = 4
"""Different signals; channels share them."""

LOUD_S = 6.0
"""From then on the last channel is loud enough for an alarm."""

INTERVAL = "0.2s"


def calibrate(folder: Path) -> Path:
    """A calibration of a healthy fan, whose head uses the forecasts of the network."""
    file = folder / "fan.calibration"
    output("simulate", "--out", folder / "healthy.npz", "--duration", "40s", "--seed", "1")
    output("calibrate", MODEL, folder / "healthy.npz", "--out", file, "--interval", INTERVAL)
    return file


@dataclass
class Scored:
    """The records of the topic of scores."""

    intervals: dict[tuple[str, int], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """Those of each interval, by channel and last sample, in the order in which they were written."""
    generations: dict[str, int] = field(default_factory=dict)
    """The highest generation of each channel."""
    late: int = 0
    """Records that were left out."""


@dataclass
class Plant:
    """Channels ``plant/m0/x`` and on, in the partitions of one topic."""

    broker: KafkaBroker
    topic: str
    channels: int
    partitions: int
    calibration: Path
    model: str = MODEL
    seconds: float = 60.0
    """Most seconds that it can send."""
    named: bool = True
    """Whether the configuration names the calibration."""
    rest: str = ""
    """More of the configuration."""
    sent: int = 0
    """Messages of each channel."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(default_factory=threading.Thread)

    def __post_init__(self) -> None:
        self.broker.create(self.topic, self.partitions)
        for name in ("scores", "alone.scores"):
            self.broker.create(f"{self.topic}.{name}")
        self.broker.create(f"{self.topic}.state", 2, **{"cleanup.policy": "compact"})
        count = round(self.seconds * RATE_HZ)
        self._signals = [
            Simulation(catalogue()["fan"], float(RATE_HZ), 10 + kind).next(count).astype("<f4") for kind in range(KINDS)
        ]
        loud: Float32 = self._signals[0].copy()
        loud[round(LOUD_S * RATE_HZ) :] *= 2.0
        loud += np.random.default_rng(1).normal(0.0, 0.5, loud.size).astype("<f4") * (loud != self._signals[0])
        self._signals.append(loud)

    @property
    def loud(self) -> str:
        """The machine of the last channel, which is in alarm after :data:`LOUD_S`."""
        return f"m{self.channels - 1}"

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send in real time while the block runs."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop sending, once the broker has everything."""
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        options = {
            "enable.idempotence": True,
            "queue.buffering.max.kbytes": 2**20,
        }  # neither twice nor in another order
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "linger.ms": 5, **options})
        period_s, began_s, first = MESSAGE / RATE_HZ, time.monotonic(), self.sent
        while not self._stop.wait(max(0.0, began_s + (self.sent - first) * period_s - time.monotonic())):
            at = slice(self.sent * MESSAGE, (self.sent + 1) * MESSAGE)
            payloads = [signal[at].tobytes() for signal in self._signals]
            assert len(payloads[0]) == 4 * MESSAGE, "the plant was made for fewer seconds"
            for i in range(self.channels):
                kind = KINDS if i == self.channels - 1 else i % KINDS
                producer.produce(self.topic, payloads[kind], f"plant/m{i}/x", i % self.partitions)
            producer.poll(0)
            self.sent += 1
        assert producer.flush(20) == 0

    def configuration(self, name: str, *, alone: bool = False, more: str = "") -> str:
        """Of one worker, or of one that has a group of its own."""
        group = f"{self.topic}.alone" if alone else self.topic
        state = "" if alone else f", state_topic: {self.topic}.state"
        calibration = f", calibration: {self.calibration}" if self.named else ""
        own = f"topic: {self.topic}, group: {group}, client_id: {name}, scores_topic: {group}.scores, start: earliest"
        return (
            f"kafka: {{bootstrap: '{self.broker.bootstrap}', {own}{state}{more}}}\n"
            f"sensors: [{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, unit: m/s2, "
            f"sampling_rate_hz: {RATE_HZ}{calibration}}}]\n"
            f"models: {{default: {self.model}}}\nlimits: {{buffer: 10s, channels: {self.channels}}}\n"
            f"inference: {{workers: 1}}\n{self.rest}"
        )

    @contextmanager
    def worker(self, folder: Path, name: str, more: str = "") -> Iterator[RunningDaemon]:
        """A worker of the group."""
        own = folder / name
        own.mkdir(exist_ok=True)
        text = self.configuration(name, more=more) + f"state_dir: {own / 'state'}\n"
        with running_daemon(own, 0, text) as daemon:
            wait_for(lambda: daemon.value("vibration_kafka_connected"), f"{name} to join", 30)
            yield daemon

    def intervals(self, group: str) -> Scored:
        """What the topic of scores holds, once it has every interval, as a reader takes it.

        A record of a lower generation than one before it of its channel is left out.
        """
        found, expected = Scored(), self.expected()
        with self.broker.following(f"{group}.scores") as records:
            for record in records:
                content = json.loads(record.value() or b"")
                channel, generation = content["channel"], content["generation"]
                if generation < found.generations.get(channel, generation):
                    found.late += 1
                    continue
                found.generations[channel] = generation
                found.intervals[channel, content["end_sample"]].append(content)
                if len(found.intervals) >= expected:
                    return found
        return found

    def scored_alone(self, folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
        """What one worker scores that reads the whole topic."""
        own = folder / "alone"
        own.mkdir()
        blocks = self.channels * (self.sent * MESSAGE // 100 - 25)
        with running_daemon(own, 0, self.configuration("alone", alone=True)) as daemon:
            wait_for(lambda: sum(daemon.values("vibration_blocks_scored_total")) == blocks, "all blocks", 120)
            count = self.expected()
            wait_for(lambda: daemon.value("vibration_scores_written_total") == count, "all intervals")
        found = self.intervals(f"{self.topic}.alone").intervals
        assert all(len(records) == 1 for records in found.values())
        return {key: records[0] for key, records in found.items()}

    def expected(self) -> int:
        """Intervals of all channels together."""
        return self.channels * ((self.sent * MESSAGE // 100 - 25) // 24)


def assert_scored_as_alone(found: Scored, alone: dict[tuple[str, int], dict[str, Any]]) -> int:
    """Every interval was scored, and each time as one worker alone scores it; returns how many were scored twice.

    Of an interval that was scored twice the later record has the higher generation.
    """
    assert found.intervals.keys() == alone.keys(), sorted(found.intervals.keys() ^ alone.keys())[:20]
    for key, records in found.intervals.items():
        generations = [record["generation"] for record in records]
        assert generations == sorted(set(generations)), (key, generations)
        for record in records:
            assert record["first_sample"] == alone[key]["first_sample"]
            assert record["state"] == alone[key]["state"], key
            for name in ("score", "gap", "gap_ratio", "rms"):
                assert abs(record[name] - alone[key][name]) <= 1e-4 * max(1.0, alone[key][name]), (key, name)
    return sum(len(records) - 1 for records in found.intervals.values())


def channels(*daemons: RunningDaemon) -> list[int]:
    return [int(each.value("vibration_channels")) for each in daemons]


def assert_nothing_is_wrong(*daemons: RunningDaemon) -> None:
    """No message was rejected, nothing was lost, and no error was unforeseen."""
    for daemon in daemons:
        for name in (
            "vibration_messages_rejected_total",
            "vibration_internal_errors_total",
            "vibration_samples_missing_total",
        ):
            assert sum(daemon.values(name)) == 0, (name, daemon.log.read_text()[-3000:])


def go_on(plant: Plant, seconds: float) -> None:
    """Let the plant send for so long."""
    end = plant.sent + round(seconds * RATE_HZ / MESSAGE)
    wait_for(lambda: plant.sent > end, f"{seconds:g} s more", 2 * seconds + 20)


def in_alarm(plant: Plant, daemon: RunningDaemon) -> bool:
    """Whether a worker has the loud channel, and says that it is in alarm."""
    return daemon.values("vibration_alarm_state", machine=plant.loud) == [2.0]
