"""Figures in two bytes: near what was measured at any size, and a gap is no zero."""

from itertools import pairwise

import numpy as np
import pytest

from monitor.runtime.history.cells import TIERS, decode, encode, together


def test_a_figure_of_any_size_is_near_what_was_measured() -> None:
    values = 10.0 ** np.random.default_rng(0).uniform(-8.9, 8.9, 10_000)
    np.testing.assert_allclose(decode(encode(values)), values, rtol=4e-4)


def test_gaps_and_zeros_stay_what_they_are() -> None:
    kept = decode(encode(np.array([np.nan, 0.0, 1e-12, np.inf, 1e12])))
    assert np.isnan(kept[[0, 3]]).all()
    assert kept[1] == kept[2] == 0.0
    assert kept[4] == pytest.approx(1e9, rel=1e-4)


def test_finer_cells_make_a_coarser_one() -> None:
    means, maxima = np.array([[1.0, np.nan], [3.0, np.nan]]), np.array([[2.0, np.nan], [9.0, np.nan]])
    mean, top = together(means, maxima)
    assert (mean[0], top[0]) == (2.0, 9.0)
    assert np.isnan([mean[1], top[1]]).all()


def test_each_period_is_made_of_whole_finer_ones() -> None:
    for fine, coarse in pairwise(TIERS):
        assert coarse.period_s % fine.period_s == 0
        assert fine.cells * fine.period_s > 2 * coarse.period_s
