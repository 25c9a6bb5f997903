"""The benchmark's own arithmetic; what it measures is no test's business."""

import numpy as np
import pytest

from tests.benchmarks.detection import reach
from tests.benchmarks.detection_budget import episodes
from tests.benchmarks.detection_data import mixtures
from tests.benchmarks.detection_figures import auc
from tests.benchmarks.detection_forecast import impulses, reached


def test_auc_counts_pairs_and_halves_ties() -> None:
    assert auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert auc(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    assert auc(np.array([1.0, 2.0]), np.array([0.0])) == 0.0


def test_reach_interpolates_and_knows_never() -> None:
    assert reach((-6, -10), [1.0, 0.9]) == pytest.approx(-8.0)
    assert reach((-6, -10), [0.9, 0.8]) is None
    assert reach((-6, -10), [1.0, 0.99]) == -10.0


def test_mixtures_have_the_level_that_is_asked_for() -> None:
    rng = np.random.default_rng(1)
    healthy = rng.normal(size=20000).astype(np.float32)
    fault = 5.0 + 3.0 * rng.normal(size=50000).astype(np.float32)
    mixed = mixtures(healthy, [fault], -10.0, 2)
    assert mixed.shape == (2, 20000)
    assert (mixed - healthy).std(axis=1) == pytest.approx(10**-0.5, rel=0.02)


def test_episodes_are_alarms_raised_not_intervals_over_the_limit() -> None:
    scores = np.full((2, 60), 0.1)
    scores[0, 10:20] = 1.5
    scores[0, 22] = 1.5
    scores[0, 45] = 1.5
    assert episodes(scores) == 2


def test_the_level_reached_is_interpolated_and_none_if_never() -> None:
    assert reached((0, -2, -4), [1.0, 0.75, 0.25], 0.5) == pytest.approx(-3.0)
    assert reached((0, -2), [0.4, 0.3], 0.5) is None
    assert reached((0, -2), [1.0, 0.9], 0.5) == -2.0


def test_impulses_ring_at_a_third_of_the_sampling_rate_and_repeat() -> None:
    ringing = impulses(5700)
    assert np.abs(np.fft.rfft(ringing)).argmax() == pytest.approx(1900, abs=60)
    np.testing.assert_allclose(ringing[570:627], ringing[627:684], rtol=1e-3, atol=1e-4)
