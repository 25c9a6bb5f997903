import numpy as np
import pytest

from monitor.core.scoring.evidence.combine import AGREED_SCALE, LEAST_AGREED_SCALE, agreed, combine
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.core.scoring.evidence.tail import Tail, fit_scale, fit_tail, surprise


def fitted(values: np.ndarray) -> Tail:
    return fit_tail(values, values.size, AGREED_SCALE, LEAST_AGREED_SCALE)


def test_an_exponential_tail_is_carried_far_beyond_the_data() -> None:
    rng = np.random.default_rng(1)
    for scale in (0.8, 1.0, 1.6):
        tail = fitted(rng.exponential(scale, 20_000))
        assert tail.surprise(np.array([14 * scale]))[0] == pytest.approx(14.0, rel=0.12)


def test_a_heavier_tail_raises_the_limit() -> None:
    rng = np.random.default_rng(2)
    light, heavy = fitted(rng.exponential(1.0, 4000)), fitted(3.0 * rng.pareto(3.0, 4000))
    assert heavy.surprise(np.array([30.0]))[0] < 0.7 * light.surprise(np.array([30.0]))[0]


def test_a_few_odd_values_put_no_limit_out_of_reach() -> None:
    """Three of three hundred values are knocks, as large as a fault."""
    values = np.random.default_rng(6).exponential(1.0, 300)
    odd = values.copy()
    odd[[10, 11, 200]] = 200.0
    clean, knocked = fitted(values).surprise(np.array([40.0]))[0], fitted(odd).surprise(np.array([40.0]))[0]
    assert knocked > 0.8 * clean
    assert fit_scale(odd, 300, 1.0, 1.0) < 1.3 * fit_scale(values, 300, 1.0, 1.0)


def test_surprise_grows_in_proportion_without_bound() -> None:
    tail = fitted(np.random.default_rng(4).exponential(1.0, 500))
    steps = np.diff(tail.surprise(np.array([100.0, 200.0, 300.0])))
    assert steps[0] == pytest.approx(steps[1])
    assert steps[0] == pytest.approx(100.0 / tail.scale)


def test_ten_values_are_held_by_the_expected_tail() -> None:
    tail = fitted(np.random.default_rng(3).exponential(0.2, 10))
    assert tail.scale == AGREED_SCALE
    assert tail.surprise(np.array([8.0]))[0] < 15.0


def test_surprise_is_monotone() -> None:
    tail = fitted(np.random.default_rng(4).exponential(1.0, 500))
    grid = np.linspace(-2, 40, 500)
    found = tail.surprise(grid)
    assert (np.diff(found) >= 0).all()
    assert tail.surprise(np.array([tail.knee]))[0] == pytest.approx(tail.at_knee)
    assert np.isnan(tail.surprise(np.array([np.nan]))).all()


def test_equal_values_make_no_trouble() -> None:
    assert np.isfinite(fitted(np.zeros(20)).surprise(np.array([-1.0, 0.0, 5.0]))).all()


def test_arrays_of_tails_are_evaluated_at_once() -> None:
    rng = np.random.default_rng(5)
    tails = [fitted(rng.exponential(s, 300)) for s in (0.5, 1.0, 2.0)]
    values = rng.exponential(2.0, (7, 3))
    together = surprise(values, *(np.array([getattr(t, name) for t in tails]) for name in ("knee", "at_knee", "scale")))
    for column, tail in enumerate(tails):
        assert together[:, column] == pytest.approx(tail.surprise(values[:, column]))


def test_one_strong_surprise_rules_the_combination_and_equal_ones_change_nothing() -> None:
    nothing = np.full((1, 3, len(KINDS)), 0.7)
    strong = nothing.copy()
    strong[0, 0, 2] = 30.0
    assert combine(nothing)[0] == pytest.approx(0.7)
    assert 25.0 < combine(strong)[0] < 30.0
    assert combine(nothing - 0.7)[0] == 0.0


def test_three_of_five_must_agree() -> None:
    nan = np.nan
    last = np.array(
        [
            [1.0, 50.0, 2.0, 60.0, 3.0],
            [1.0, 50.0, 40.0, 2.0, 60.0],
            [nan, nan, 1.0, 50.0, 40.0],
            [nan, nan, nan, 5.0, 3.0],
            [nan, nan, nan, nan, 4.0],
        ]
    )
    assert agreed(last).tolist() == [3.0, 40.0, 40.0, 3.0, 4.0]
