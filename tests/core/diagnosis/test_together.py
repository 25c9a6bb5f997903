"""What many looks tell that one does not, and how often it is wrong."""

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.diagnosis.bearings import public_bearing
from monitor.core.diagnosis.diagnose import Diagnosis, Facts, Healthy, diagnose
from monitor.core.diagnosis.shaft.faults import ORDERS, Levels
from monitor.core.diagnosis.together import MOST_LOOKS, Together, with_levels

RATE = 6000.0
SHAFT_HZ = 30.0
LOOK_S = 10.0
BEARING = public_bearing("6205")


def machine(size: float, seed: int, wanders: float = 0.003) -> Float32:
    """A shaft whose speed wanders, with a clear line, and impacts of an outer race in noise."""
    assert BEARING is not None
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(LOOK_S * RATE)) / RATE
    shaft_hz = SHAFT_HZ * (1.0 + wanders * np.sin(2 * np.pi * (time_s / 7.0 + rng.random())))
    turns = np.cumsum(shaft_hz) / RATE
    passage = BEARING.outer * turns
    at = np.searchsorted(passage, np.cumsum(1 + 0.01 * rng.normal(size=int(passage[-1]) + 2)))
    struck = np.zeros(time_s.size)
    struck[at[at < time_s.size]] = size
    ringing = np.exp(-900 * time_s[:200]) * np.sin(2 * np.pi * 2000 * time_s[:200])
    lines = np.cos(2 * np.pi * turns) + 0.5 * np.cos(4 * np.pi * turns + 1)
    return (np.convolve(struck, ringing)[: time_s.size] + lines + rng.normal(size=time_s.size)).astype(np.float32)


def looked(samples: Float32, before: Together | None, healthy: Healthy | None) -> Diagnosis:
    assert BEARING is not None
    speeds: list[Float64] = [np.full(samples.size, 60 * SHAFT_HZ)]
    return diagnose("fan", [samples], RATE, speeds, Facts((BEARING,)), healthy=healthy, before=before)


def healthy() -> Healthy:
    together, lines = None, None
    for seed in range(100, 106):
        found = looked(machine(0.0, seed), together, None)
        assert found.lines is not None
        together, lines = found.together, found.lines if lines is None else lines.and_also(found.lines)
    assert together is not None
    return Healthy(lines=lines, segments=together.segments)


def test_a_fault_that_no_look_names_is_named_by_many_and_a_healthy_machine_is_not() -> None:
    known, together, well = healthy(), None, None
    alone, named_at = 0, []
    for look in range(1, 17):
        samples = machine(1.05, look)
        alone += bool(looked(samples, None, known).faults)
        found = looked(samples, together, known)
        together = found.together
        named_at += [look] if found.faults else []
        as_it_was = looked(machine(0.0, 50 + look), well, known)
        assert as_it_was.faults == []
        well = as_it_was.together
    assert alone == 0
    assert named_at
    assert named_at == list(range(named_at[0], 17)), "a name that was given stays"
    assert [(one.fault, one.part) for one in found.faults] == [("outer race", "6205")]
    assert together is not None
    assert together.looks == 16
    assert together.named == frozenset({("outer race", "6205")})
    assert together.raw.nbytes + together.clean.nbytes < 400_000


def test_a_fault_that_is_gone_loses_its_name() -> None:
    known, together = healthy(), None
    for look in range(4):
        together = looked(machine(1.5, look), together, known).together
    assert together is not None
    assert together.named
    for look in range(40):
        together = looked(machine(0.0, 60 + look), together, known).together
    assert together is not None
    assert not together.named


def test_the_chance_of_all_looks_together_is_bounded() -> None:
    nothing = np.zeros((1, 9), np.float16)
    shares = []
    for looks in range(1, 5000):
        together = Together(looks, 10, 75.0, ((0.0, 500.0),), 1, nothing, nothing, None, frozenset({("ball", "x")}))
        shares.append(1.0 / together.share("outer race", "x"))
        assert together.share("ball", "x") == 1
    assert sum(shares) == pytest.approx(1.5, abs=1e-3)


def test_levels_of_many_looks_are_a_row_each_and_bounded() -> None:
    found = None
    for look in range(60):
        found = with_levels(found, Levels(np.full((5, len(ORDERS)), float(look)), np.full(len(ORDERS), 12.0)))
    assert found is not None
    assert found.db[:, 0].tolist() == [float(look) for look in range(60 - MOST_LOOKS, 60)]
    assert with_levels(found, None) is found
