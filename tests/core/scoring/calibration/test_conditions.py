"""Conditions: sound machines between learned speeds and loads are explained, faults are not, odd stretches never."""

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.learning.condition_fit import learn
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.conditions import Combination, explained, project
from tests.support.channels.healthy import Channels, at_load, blind, calibrated


def learned_from(parts: list[Float32]) -> Calibration:
    """A calibration from one recording for each part."""
    return calibrated([blind(part) for part in parts])


def scores(calibration: Calibration, part: Float32) -> Float64:
    return np.array([float(one.score[0]) for one in Channels(1, calibration).run([blind(part)])])


def test_the_projection_is_the_nearest_point_of_the_simplex() -> None:
    rng = np.random.default_rng(1)
    points = 2.0 * rng.standard_normal((50, 4))
    found = project(points)
    assert found.sum(axis=1) == pytest.approx(np.ones(50))
    assert (found >= 0.0).all()
    others = rng.dirichlet(np.ones(4), 5000)
    for point, nearest in zip(points, found, strict=True):
        assert ((others - point) ** 2).sum(axis=1).min() > ((nearest - point) ** 2).sum() - 1e-12
    assert project(np.array([[0.3, -np.inf, 0.2]])) == pytest.approx(np.array([[0.55, 0.0, 0.45]]))


def test_a_convex_combination_is_found() -> None:
    rng = np.random.default_rng(2)
    prototypes, noise = rng.standard_normal((5, 12)), rng.uniform(0.5, 2.0, 12)
    wanted = rng.dirichlet(np.ones(5), 20)
    combination = Combination.of(prototypes, noise)
    assert combination.weights(wanted @ prototypes) == pytest.approx(wanted, abs=0.02)
    # What lies outside is not reached: the nearest prototype remains.
    outside = prototypes.mean(axis=0) + 5.0 * (prototypes[2] - prototypes.mean(axis=0))
    assert combination.weights(outside[None])[0, 2] > 0.9


def test_explained_energies_are_ratios_and_the_rest_differences() -> None:
    raw, expected = np.array([[2.0, 6.0, 0.5]]), np.log([[2.0, 3.0, np.e]])
    assert explained(raw, expected, 2) == pytest.approx(np.array([[1.0, 2.0, -0.5]]))


def test_one_steady_condition_is_one_prototype() -> None:
    steady = learned_from([at_load(0.5, 3000, 1)])
    assert len(steady.prototypes) == 1
    assert steady.aside_intervals == 0


def test_a_load_between_learned_ones_is_healthy_and_a_fault_there_is_not() -> None:
    calibration = learned_from([at_load(load, 1500, seed) for seed, load in enumerate((0.0, 0.35, 1.0))])
    assert 2 <= len(calibration.prototypes) <= 12
    for load in (0.0, 0.2, 0.7, 1.0):
        assert scores(calibration, at_load(load, 800, 50)).max() < 1.0
    assert np.median(scores(calibration, at_load(0.7, 800, 50, fault=0.4))) > 1.0
    # Learned at one load only, the other loads are faults: the explanation does the work.
    alone = learned_from([at_load(0.0, 1500, 1)])
    assert np.median(scores(alone, at_load(0.7, 800, 50))) > 1.0


def test_an_odd_stretch_is_set_aside_and_excuses_no_fault() -> None:
    clean = at_load(0.5, 6000, 1)
    spoiled = clean.copy()
    spoiled[2400:2560] = at_load(0.5, 160, 7, fault=0.8)
    fault = at_load(0.5, 600, 60, fault=0.8)
    learned = learned_from([spoiled])
    assert 16 <= learned.aside_intervals <= 64
    assert np.median(scores(learned, fault)) > 0.5 * np.median(scores(learned_from([clean]), fault))
    assert np.median(scores(learned, fault)) > 1.0


def test_what_recurs_is_a_condition() -> None:
    """A second load in four separate stretches is learned, not set aside."""
    part = at_load(0.2, 6000, 1)
    for start in (700, 2000, 3500, 5000):
        part[start : start + 400] = at_load(0.9, 400, start)
    learned = learned_from([part])
    assert len(learned.prototypes) > 1
    assert scores(learned, at_load(0.9, 600, 70)).max() < 1.0


def test_a_named_recording_is_confirmed_however_odd_it_is() -> None:
    loads = [at_load(load, 200, seed) for seed, load in enumerate((0.0, 1.0))]
    learned = learned_from([*loads, at_load(0.5, 60, 9)])
    assert learned.aside_intervals == 0


def test_calibrations_with_different_numbers_of_prototypes_are_scored_together() -> None:
    one, many = learned_from([at_load(0.0, 1500, 1)]), learned_from([at_load(load, 1500, 2) for load in (0.0, 1.0)])
    channels = Channels(2, one)
    channels.observations.assign(channels.rows[1:], many.head)
    channels.scorer.assign(channels.rows[1:], many, many.limit(1.0))
    both = channels.run([blind(at_load(0.0, 400, 80)), blind(at_load(0.6, 400, 81))])
    apart = scores(one, at_load(0.0, 400, 80)), scores(many, at_load(0.6, 400, 81))
    for row in (0, 1):
        assert [float(each.score[row]) for each in both] == pytest.approx(apart[row].tolist(), rel=1e-3, abs=1e-4)


def test_few_intervals_make_one_prototype() -> None:
    few = learn([np.random.default_rng(1).standard_normal((6, 28))])
    assert few.prototypes.shape == (1, 28)
    assert not np.concatenate(few.aside).any()


def test_hours_replace_the_expected_drift_and_seconds_do_not() -> None:
    """The same intervals, as of 1 s and of 60 s each: only hours show that the machine does not wander."""
    rng = np.random.default_rng(3)
    logs = 0.1 * rng.standard_normal((1200, 12))
    pieces = {interval_s: learn([logs], interval_s=interval_s).shifts for interval_s in (1.0, 60.0)}
    assert len(pieces[1.0]) == 8
    assert len(pieces[60.0]) == 64
    parts = [at_load(load, 6000, seed) for seed, load in enumerate((0.0, 0.5, 1.0))]
    of = {interval_s: calibrated([blind(part) for part in parts], interval_s=interval_s) for interval_s in (1.0, 60.0)}
    assert len(of[1.0].prototypes) > 1
    last = {interval_s: float(np.median(one.spread[-1])) for interval_s, one in of.items()}
    assert last[60.0] < 0.85 * last[1.0]
