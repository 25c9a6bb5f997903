"""Faults are named from impacts with analytic rates, and nothing is named from noise."""

import numpy as np
import pytest

from monitor.core.arrays import Float64
from monitor.core.diagnosis.bearings import Bearing, from_geometry, public_bearing
from monitor.core.diagnosis.combs import Known, hypotheses, look
from monitor.core.diagnosis.envelope import Lines, envelope_spectra, make_bands
from monitor.core.diagnosis.naming import Named, name_faults
from monitor.core.diagnosis.rates import repetition_rates
from monitor.core.diagnosis.whitening import whitened, without_lines

RATE = 12000.0
SHAFT_HZ = 29.95
DURATION_S = 5.0


def bearing() -> Bearing:
    found = public_bearing("6205")
    assert found is not None
    return found


def turns_at(shaft_hz: float | Float64) -> Float64:
    return np.cumsum(np.broadcast_to(shaft_hz, round(DURATION_S * RATE))) / RATE


def impacts(turns: Float64, order: float, load_order: float, size: float, seed: int, slip: float = 0.01) -> Float64:
    """Impacts at an order, weighted by a load zone, ringing at 3 kHz, in noise of power 1."""
    rng = np.random.default_rng(seed)
    passage = order * turns
    gaps = 1 + slip * rng.normal(size=int(passage[-1]) + 2)
    at = np.searchsorted(passage, np.cumsum(gaps))
    at = at[at < turns.size]
    struck = np.zeros(turns.size)
    struck[at] = size * (0.5 * (1 + np.cos(2 * np.pi * load_order * turns[at])) if load_order else 1.0)
    time_s = np.arange(200) / RATE
    ringing = np.exp(-900 * time_s) * np.sin(2 * np.pi * 3000 * time_s)
    return np.convolve(struck, ringing)[: turns.size] + rng.normal(size=turns.size)


def named(
    samples: Float64,
    shaft_hz: float = SHAFT_HZ,
    turns: Float64 | None = None,
    gears: tuple[int, ...] = (),
    healthy: Lines | None = None,
) -> Named:
    white = whitened(samples)
    angle = None if turns is None else [turns[-white.size :]]
    return name_faults([white], RATE, shaft_hz, [bearing()], gears, angle, healthy)


CASES = [("outer race", "outer", 0.0), ("inner race", "inner", 1.0), ("ball", "ball", 0.398)]


@pytest.mark.parametrize(("fault", "order", "load_order"), CASES)
@pytest.mark.parametrize("error", [0.0, 0.01, -0.01])
def test_a_fault_is_named_with_its_rate_though_the_speed_is_a_little_wrong(
    fault: str, order: str, load_order: float, error: float
) -> None:
    true = getattr(bearing(), order)
    samples = impacts(turns_at(SHAFT_HZ), true, load_order, 4.0, 1)
    [finding] = named(samples, SHAFT_HZ * (1 + error)).findings
    assert (finding.fault, finding.part) == (fault, "6205")
    assert finding.frequency_hz == pytest.approx(true * SHAFT_HZ, rel=0.003)
    assert finding.p_value < 1e-10
    assert finding.harmonics >= 1


def test_a_shallow_fault_is_named_if_nothing_else_of_the_bearing_shows() -> None:
    [finding] = named(impacts(turns_at(SHAFT_HZ), bearing().outer, 0.0, 1.6, 2)).findings
    assert finding.fault == "outer race"
    assert finding.depth < 0.45


def test_a_line_of_the_healthy_machine_is_no_fault_until_it_has_grown() -> None:
    """A rate of the healthy machine that the bearing matches by accident, on another day, at another speed."""
    lines = named(impacts(turns_at(SHAFT_HZ), bearing().outer, 0.0, 2.5, 1)).lines
    other_hz = 1.01 * SHAFT_HZ
    same, grown = (impacts(turns_at(other_hz), bearing().outer, 0.0, size, 2) for size in (2.5, 5.0))
    assert [one.fault for one in named(same, other_hz).findings] == ["outer race"]
    found = named(same, other_hz, healthy=lines)
    assert (found.findings, found.reason) == ([], "outer race of 6205: no more than on the healthy machine")
    assert [one.fault for one in named(grown, other_hz, healthy=lines).findings] == ["outer race"]
    another = impacts(turns_at(SHAFT_HZ), bearing().inner, 1.0, 3.0, 3)
    assert [one.fault for one in named(another, healthy=lines).findings] == ["inner race"]


def test_a_healthy_line_is_known_though_the_shaft_was_not_found_and_the_stated_speed_is_wrong() -> None:
    """A line of a healthy gearbox at 93.0 Hz was 3.098 times the stated speed, and 3.076 times the shaft once found."""
    samples = impacts(turns_at(SHAFT_HZ), bearing().outer, 0.0, 2.5, 1)
    lines = named(samples, 0.99 * SHAFT_HZ).lines
    assert lines.error.max() == pytest.approx(0.012)
    same = impacts(turns_at(SHAFT_HZ), bearing().outer, 0.0, 2.5, 2)
    same += 0.6 * impacts(turns_at(SHAFT_HZ), 1.0, 0.0, 10.0, 3, slip=0.0)
    found = named(same, 0.99 * SHAFT_HZ, healthy=lines)
    assert found.shaft.located
    assert found.findings == []


def test_a_fault_is_named_earlier_where_the_healthy_machine_is_known() -> None:
    white = [whitened(impacts(turns_at(SHAFT_HZ), bearing().outer, 0.0, 1.08, seed)) for seed in range(2, 10)]
    assert name_faults(white, RATE, SHAFT_HZ, [bearing()]).findings == []
    lines = named(np.random.default_rng(9).normal(size=white[0].size)).lines
    [finding] = name_faults(white, RATE, SHAFT_HZ, [bearing()], healthy=lines).findings
    assert finding.fault == "outer race"
    assert finding.p_value < 1e-6
    assert finding.depth < 0.2


def test_two_races_that_show_faintly_together_are_not_named() -> None:
    both = impacts(turns_at(SHAFT_HZ), bearing().outer, 0.0, 2.2, 2) + impacts(
        turns_at(SHAFT_HZ), bearing().inner, 0.0, 2.2, 3
    )
    found = named(both)
    assert not found.findings
    assert "show faintly together" in found.reason


def test_noise_is_named_less_often_than_the_stated_probability() -> None:
    smallest = []
    for seed in range(30):
        white = without_lines(np.random.default_rng(seed).normal(size=36_000), RATE)
        spectra = envelope_spectra([white], RATE, make_bands(RATE, 200.0), 1.0, 900.0)
        known = Known(SHAFT_HZ, located=False, speed_error=0.012)
        found = [evidence for each in hypotheses(bearing()) if (evidence := look(spectra, known, each))]
        trials = sum(evidence.trials for evidence in found)
        smallest.append(min((evidence.log_p + np.log(trials) for evidence in found), default=0.0))
    # A valid p-value below 0.1 comes at most three times in thirty; more than seven times has a chance of 1 in 1000.
    assert sum(value < np.log(0.1) for value in smallest) <= 7
    assert min(smallest) > np.log(1e-4)


def test_loud_lines_and_their_beats_are_no_fault() -> None:
    """Lines that beat at the rate of the outer race would be named if they were not removed."""
    time_s = np.arange(round(DURATION_S * RATE)) / RATE
    rate = bearing().outer * SHAFT_HZ
    lines = sum(3 * np.sin(2 * np.pi * (3000 + k * rate) * time_s + k) for k in range(-3, 4))
    noise = np.random.default_rng(5).normal(size=time_s.size)
    assert named(lines + noise).findings == []


def test_a_changing_speed_needs_the_angle() -> None:
    shaft_hz = np.linspace(0.8, 1.2, round(DURATION_S * RATE)) * SHAFT_HZ
    turns = turns_at(shaft_hz)
    samples = impacts(turns, bearing().outer, 0.0, 4.0, 6)
    [finding] = named(samples, SHAFT_HZ, turns).findings
    assert finding.fault == "outer race"
    assert named(samples, SHAFT_HZ).findings == []


def test_a_tooth_is_named_only_where_there_is_a_gear() -> None:
    samples = impacts(turns_at(SHAFT_HZ), 1.0, 0.0, 8.0, 7, slip=0.0)
    [finding] = named(samples, gears=(31,)).findings
    assert (finding.fault, finding.order) == ("gear mesh", 31.0)
    assert finding.frequency_hz == pytest.approx(31 * SHAFT_HZ, rel=1e-3)
    assert named(samples).findings == []


def test_an_inner_race_near_a_multiple_of_the_shaft_is_no_tooth() -> None:
    """Its sidebands are then near multiples too: 7.00 is an order of a bearing with 12 balls."""
    made = from_geometry("bearing", 12, 1.0, 6.0)
    assert made.inner == pytest.approx(7.0)
    white = whitened(impacts(turns_at(SHAFT_HZ), made.inner, 1.0, 5.0, 7))
    found = name_faults([white], RATE, SHAFT_HZ, [made], (31,))
    assert found.findings == []
    assert "inner race of bearing" in found.reason


def test_faults_that_a_short_record_cannot_tell_apart_are_not_named() -> None:
    samples = impacts(turns_at(SHAFT_HZ), bearing().outer, 0.0, 6.0, 8)[:1200]
    records = [whitened(samples)] * 1
    found = name_faults(records, RATE, SHAFT_HZ, [bearing()])
    assert not found.findings
    assert found.reason


def test_the_rate_stands_out_without_a_bearing() -> None:
    samples = without_lines(whitened(impacts(turns_at(SHAFT_HZ), bearing().inner, 0.0, 4.0, 9)), RATE)
    spectra = envelope_spectra([samples], RATE, make_bands(RATE, RATE / 36), 2.4, 900.0)
    [rate] = repetition_rates(spectra)
    assert rate == pytest.approx(bearing().inner * SHAFT_HZ, rel=0.005)
    noise = np.random.default_rng(1).normal(size=samples.size)
    assert repetition_rates(envelope_spectra([noise], RATE, make_bands(RATE, RATE / 36), 2.4, 900.0)) == []
