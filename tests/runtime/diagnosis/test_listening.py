"""Records that are longer than a ring, joined without a sample lost or doubled; breaks; the speed beside them."""

from typing import Any

import numpy as np
import pytest

from monitor.config.sensors import Sensor
from monitor.core.arrays import Float32
from monitor.runtime.diagnosis.listening import LISTEN_S, LONGEST_LISTEN_S, PATIENCE_S, Listening
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane, LaneShape

RATE = 1000
PART = 250
"""Samples between two looks."""


def channel(**sensor: Any) -> Channel:
    about = {"topic": "plant/{machine}", "payload": {"format": "float32"}, "sampling_rate_hz": RATE}
    return Channel(("fan", ""), "plant/fan", Sensor.model_validate(about | sensor), "default", 0)


def lane() -> Lane:
    return Lane(LaneShape("default", 1, 100, 25, 20))


def heard(listening: Listening, break_at: int | None = None, speed: Float32 | None = None) -> int:
    """Send until it is enough; returns how many parts that took."""
    rings = listening.lane.rings
    for number in range(1000):
        at = number * PART
        if number == break_at:
            rings.start_context(0, at + 77)
        rings.append(0, np.arange(at, at + PART, dtype=np.float32), 1.0, 0.0)
        rings.skip_backlog(0)
        if speed is not None:
            listening.lane.conditions.write(0, np.array([0]), float(speed[number]), 1e9)
        if listening.look(at / RATE):
            return number + 1
    raise AssertionError("it is never enough")


def test_a_record_is_longer_than_the_ring_and_whole() -> None:
    listening = Listening(channel(), lane(), 0.0)
    assert listening.lane.rings.capacity_blocks * 100 < LISTEN_S * RATE
    heard(listening)
    [record] = listening.records()
    assert record.size >= LISTEN_S * RATE
    assert np.all(np.diff(record) == 1)
    assert listening.speeds() is None


def test_missing_samples_begin_another_record() -> None:
    listening = Listening(channel(machine={"speed_rpm": 1500}), lane(), 0.0)
    heard(listening, break_at=20)
    first, second = listening.records()
    assert (first[-1], second[0]) == (20 * PART - 1, 20 * PART)
    for record, speed in zip((first, second), listening.speeds() or (), strict=True):
        assert np.all(np.diff(record) == 1)
        assert speed.tolist() == [1500.0] * record.size


def test_a_slow_shaft_is_listened_to_for_longer_but_not_for_ever() -> None:
    def seconds(rpm: float) -> float:
        listening = Listening(channel(machine={"speed_rpm": rpm}), lane(), 0.0)
        heard(listening)
        return sum(map(len, listening.records())) / RATE

    assert seconds(6000) == pytest.approx(LISTEN_S, abs=0.5)
    assert seconds(800) == pytest.approx(30, abs=0.5)
    assert seconds(10) == pytest.approx(LONGEST_LISTEN_S, abs=0.5)


def test_a_measured_speed_is_noted_beside_the_samples() -> None:
    measured = {"speed_rpm": {"topic": "plant/{machine}/speed", "payload": {"format": "number"}}}
    for values, varies in ((np.linspace(1000, 1100, 1000), True), (np.full(1000, 1000) + np.arange(1000) % 2, False)):
        listening = Listening(channel(conditions=measured), lane(), 0.0)
        listening.lane.conditions.rename(["speed_rpm"])
        heard(listening, speed=values.astype(np.float32))
        [speed] = listening.speeds() or []
        assert bool(np.ptp(speed)) is varies
        assert speed.mean() == pytest.approx(values[: len(speed) // PART].mean(), rel=0.002)
    listening = Listening(channel(conditions=measured), lane(), 0.0)
    listening.lane.conditions.rename(["speed_rpm"])
    heard(listening, speed=np.zeros(1000, np.float32))
    assert listening.speeds() is None, "the shaft stands"


def test_patience_ends() -> None:
    listening = Listening(channel(), lane(), 0.0)
    assert not listening.look(1.0)
    assert listening.look(PATIENCE_S + 1)
    assert listening.records() == []
