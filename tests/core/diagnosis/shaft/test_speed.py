"""A speed that changes though it is stated to be constant is noticed; a steady one, noise and a wrong one are not."""

import numpy as np
import pytest

from monitor.core.arrays import Float64
from monitor.core.diagnosis.bearings import from_geometry
from monitor.core.diagnosis.diagnose import Facts, diagnose
from monitor.core.diagnosis.shaft.speed import changed_speed
from monitor.simulation.machine import catalogue
from monitor.simulation.simulator import Simulation

RATE = 4000.0
SECONDS = 16


def shaft(first_hz: float, last_hz: float, seed: int = 0) -> Float64:
    speed = np.linspace(first_hz, last_hz, round(SECONDS * RATE))
    turns = np.cumsum(speed) / RATE
    noise = 0.5 * np.random.default_rng(seed).normal(size=speed.size)
    return np.asarray(np.sin(2 * np.pi * turns) + 0.4 * np.sin(4 * np.pi * turns) + noise)


def test_a_ramp_is_noticed_and_a_steady_shaft_is_not() -> None:
    found = changed_speed([shaft(23.0, 26.5)], RATE, 24.8)
    assert found == pytest.approx((23.3, 25.9), abs=0.3), "means of 40 turns"
    assert changed_speed([shaft(24.8, 24.8)], RATE, 24.8) is None
    assert changed_speed([shaft(24.7, 24.9)], RATE, 24.8) is None


def test_noise_and_healthy_machines_keep_their_speed() -> None:
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(size=round(SECONDS * RATE))
        assert changed_speed([noise], RATE, 24.8) is None
    for machine in catalogue().values():
        samples = Simulation(machine, 12000.0, 5).next(12000 * SECONDS).astype(np.float64)
        assert changed_speed([samples], 12000.0, machine.shaft_hz) is None, machine.name


def test_it_is_the_first_reason() -> None:
    samples = shaft(23.0, 26.5).astype(np.float32)
    bearing = from_geometry("de", 9, 0.2, 1)
    found = diagnose("fan", [samples], RATE, [np.full(samples.size, 1488.0)], Facts((bearing,)))
    assert found.faults == []
    assert "the speed of the shaft changes from 14" in found.reasons[0]
    assert "give the measured speed" in found.reasons[0]
