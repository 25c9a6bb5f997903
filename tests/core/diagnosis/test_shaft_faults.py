"""Faults of the shaft from rises over a healthy baseline."""

import numpy as np
import pytest

from monitor.core.arrays import Float64
from monitor.core.diagnosis.shaft_faults import ORDERS, Levels, levels, shaft_fault

RATE = 2000.0
SHAFT_HZ = 25.0
HEALTHY = {1.0: 0.3, 2.0: 0.15, 3.0: 0.1}


def machine(lines: dict[float, float], seed: int, duration_s: float = 10.0, stated_hz: float = SHAFT_HZ) -> Levels:
    time_s = np.arange(round(duration_s * RATE)) / RATE
    signal: Float64 = 0.2 * np.random.default_rng(seed).normal(size=time_s.size)
    for order, amplitude in lines.items():
        signal = signal + amplitude * np.cos(2 * np.pi * order * SHAFT_HZ * time_s + 7 * order)
    found = levels([signal], RATE, stated_hz)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fault", "added"),
    [
        ("imbalance", {1.0: 2.0}),
        ("misalignment", {1.0: 0.8, 2.0: 2.0, 3.0: 0.6}),
        ("looseness", {order: 1.0 / np.sqrt(order) for order in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)}),
    ],
)
def test_a_rise_is_named_by_its_pattern(fault: str, added: dict[float, float]) -> None:
    faulty = {order: HEALTHY.get(order, 0.0) + added.get(order, 0.0) for order in HEALTHY | added}
    found = shaft_fault(machine(faulty, 1), machine(HEALTHY, 2))
    assert found is not None
    assert found.fault == fault
    assert found.p_value < 1e-3


def test_another_day_of_a_healthy_machine_is_not_named() -> None:
    baseline = machine(HEALTHY, 2)
    for seed in range(10, 40):
        assert shaft_fault(machine({order: 1.3 * size for order, size in HEALTHY.items()}, seed), baseline) is None


def test_noise_that_rises_is_no_fault_of_the_shaft() -> None:
    quiet = machine({}, 3)
    loud = Levels(machine({}, 4).db + 20.0, machine({}, 4).above_db)
    assert shaft_fault(loud, quiet) is None


def test_two_lines_that_grow_together_are_not_imbalance() -> None:
    """Once rises by 7 dB; twice gains as much, but rises by 3.5 dB only, because it was strong already."""
    healthy = {1.0: 0.3, 2.0: 1.0}
    assert shaft_fault(machine({1.0: 0.7, 2.0: 1.5}, 1), machine(healthy, 2)) is None
    found = shaft_fault(machine({1.0: 0.7, 2.0: 1.0}, 1), machine(healthy, 2))
    assert found is not None
    assert found.fault == "imbalance"


@pytest.mark.parametrize("error", [-0.01, -0.006, 0.006, 0.01])
def test_high_multiples_are_found_though_the_stated_speed_is_a_little_wrong(error: float) -> None:
    """The line at once the frequency is weak, and at 6 times an error of it counts 6 times."""
    lines = {1.0: 0.03, 2.0: 0.5, 6.0: 0.5}
    exact, wrong = machine(lines, 5), machine(lines, 5, stated_hz=(1 + error) * SHAFT_HZ)
    for order in (2.0, 6.0):
        at = ORDERS.index(order)
        assert wrong.db.mean(axis=0)[at] == pytest.approx(exact.db.mean(axis=0)[at], abs=1.5)


def test_too_few_turns_have_no_levels() -> None:
    assert levels([np.zeros(2000)], RATE, SHAFT_HZ) is None
