"""The band that is named: what evidence says has risen, weighed by the energy that a person sees."""

import numpy as np

from monitor.core.arrays import Float64
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.naming import RISEN, most_new

OF = layout(100)
BANDS, WINDOWS = OF.bands, len(OF.window_bands)


def named(evidence: Float64, rise: Float64, energy: Float64) -> list[int]:
    """The first band and the end of the window that is named, from the figures of single bands."""
    in_windows = np.concatenate([evidence, np.full(WINDOWS - BANDS, evidence.max() - 0.1)])
    by_window = np.concatenate([rise, np.zeros(WINDOWS - BANDS)])
    (found,) = most_new(in_windows[None, None], by_window[None, None], energy[None], OF)
    first, end = OF.window_bands[found].tolist()
    return [first, end]


def test_energy_decides_and_not_decibels() -> None:
    evidence, rise, energy = np.full(BANDS, 50.0), np.full(BANDS, 0.1), np.ones(BANDS)
    rise[8], energy[8] = np.log(20.0), 10.0
    rise[19], energy[19], evidence[19] = np.log(250.0), 0.01, 500.0  # nearly silent when healthy
    assert named(evidence, rise, energy) == [8, 9]
    rise[9], energy[9] = rise[8], 10.0
    rise[10], energy[10] = rise[8], 10.0
    assert named(evidence, rise, energy) == [8, 10]  # two of the three hold two thirds


def test_a_loud_band_that_varies_when_healthy_is_not_named() -> None:
    evidence, rise, energy = np.zeros(BANDS), np.zeros(BANDS), np.ones(BANDS)
    rise[2], energy[2], evidence[2] = 0.05, 1000.0, RISEN - 1.0
    rise[12], evidence[12] = np.log(2.0), 40.0
    assert named(evidence, rise, energy) == [12, 13]


def test_where_nothing_has_risen_evidence_alone_decides() -> None:
    evidence, rise, energy = np.zeros(BANDS), np.full(BANDS, -1.0), np.ones(BANDS)
    evidence[5] = 30.0
    assert named(evidence, rise, energy) == [5, 6]


def test_each_interval_has_its_own_strongest_time_scale() -> None:
    exponent, rise = np.zeros((2, 3, WINDOWS)), np.zeros((2, 3, WINDOWS))
    exponent[0, 0, 3] = exponent[1, 2, 7] = 20.0
    rise[0, 0, 3] = rise[1, 2, 7] = 1.0
    assert most_new(exponent, rise, np.ones((2, BANDS)), OF).tolist() == [3, 7]
