"""Faults of the shaft from rises over a healthy baseline."""

import numpy as np
import pytest

from monitor.core.arrays import Float64
from monitor.core.diagnosis.shaft.faults import ORDERS, Levels, levels, shaft_fault

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


def looks(lines: dict[float, float], seeds: range, wanders_db: float) -> Levels:
    """Levels of looks apart in time, at which all lines are louder or quieter."""
    gains = [10 ** (wanders_db * np.random.default_rng(seed).normal() / 20) for seed in seeds]
    each = [
        machine({order: gain * size for order, size in lines.items()}, seed)
        for seed, gain in zip(seeds, gains, strict=True)
    ]
    return Levels(np.concatenate([one.mean().db for one in each]), each[-1].above_db)


def test_a_small_rise_is_named_where_the_lines_are_known_to_be_steady() -> None:
    """Once the frequency rises by 3 dB."""
    steady, wandering = looks(HEALTHY, range(100, 116), 0.1), looks(HEALTHY, range(100, 116), 2.0)
    risen = looks({**HEALTHY, 1.0: 1.41 * HEALTHY[1.0]}, range(200, 204), 0.1)
    found = shaft_fault(risen, steady, apart=True)
    assert found is not None
    assert (found.fault, found.order) == ("imbalance", 1.0)
    assert found.p_value < 1e-6
    assert shaft_fault(risen, wandering, apart=True) is None
    assert shaft_fault(risen, steady) is None, "looks at one time do not tell how the machine wanders"


def test_a_healthy_machine_that_wanders_as_it_did_is_not_named() -> None:
    for seed in range(20):
        first = 1000 * (seed + 1)
        baseline = looks(HEALTHY, range(first, first + 8), 1.0)
        assert shaft_fault(looks(HEALTHY, range(first + 100, first + 103), 1.0), baseline, apart=True) is None


def test_misalignment_whose_double_is_out_of_phase_is_not_imbalance() -> None:
    """Once the frequency rises by 2.6 dB, twice falls by 1.5 dB."""
    baseline = looks(HEALTHY, range(100, 116), 0.1)
    changed = {1.0: 1.35 * HEALTHY[1.0], 2.0: 0.84 * HEALTHY[2.0], 3.0: HEALTHY[3.0]}
    assert shaft_fault(looks(changed, range(200, 204), 0.1), baseline, apart=True) is None
