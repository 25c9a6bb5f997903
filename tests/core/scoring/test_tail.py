import numpy as np
import pytest

from monitor.core.scoring.combine import agreed, combine
from monitor.core.scoring.kinds import KINDS
from monitor.core.scoring.tail import Tail, fit_tail, surprise


def value(tail: Tail, wanted: float) -> float:
    """The value whose surprise is ``wanted``, above the first knot: the inverse of :meth:`Tail.surprise`."""
    beyond = wanted - tail.surprises[-1]
    if beyond <= 0:
        return float(np.interp(wanted, tail.surprises, tail.knots))
    grown = beyond if abs(tail.shape) < 1e-9 else np.expm1(tail.shape * beyond) / tail.shape
    return float(tail.knots[-1] + tail.scale * grown)


def test_an_exponential_tail_is_carried_far_beyond_the_data() -> None:
    rng = np.random.default_rng(1)
    for scale in (0.7, 1.0, 1.6):
        tail = fit_tail(rng.exponential(scale, 4000), 4000)
        assert tail.surprise(np.array([14 * scale]))[0] == pytest.approx(14.0, rel=0.12)


def test_a_heavier_tail_raises_the_limit() -> None:
    rng = np.random.default_rng(2)
    light, heavy = fit_tail(rng.exponential(1.0, 4000), 4000), fit_tail(3.0 * rng.pareto(3.0, 4000), 4000)
    assert value(heavy, 14.0) > 3.0 * value(light, 14.0)


def test_ten_values_are_held_by_the_expected_tail() -> None:
    tail = fit_tail(np.random.default_rng(3).exponential(0.2, 10), 10)
    assert tail.scale > 0.6
    assert value(tail, 15.0) > 8.0


def test_surprise_is_monotone_and_inverted_by_value() -> None:
    tail = fit_tail(np.random.default_rng(4).exponential(1.0, 500), 500)
    grid = np.linspace(-2, 40, 500)
    assert (np.diff(tail.surprise(grid)) >= 0).all()
    for wanted in (0.5, 2.0, 9.0, 17.0):
        assert tail.surprise(np.array([value(tail, wanted)]))[0] == pytest.approx(wanted, rel=1e-4)


def test_equal_values_make_no_trouble() -> None:
    tail = fit_tail(np.zeros(20), 20)
    assert np.isfinite(tail.surprise(np.array([-1.0, 0.0, 5.0]))).all()


def test_arrays_of_tails_are_evaluated_at_once() -> None:
    rng = np.random.default_rng(5)
    tails = [fit_tail(rng.exponential(s, 300), 300) for s in (0.5, 1.0, 2.0)]
    values = rng.exponential(2.0, (7, 3))
    together = surprise(
        values,
        np.array([t.knots for t in tails]),
        np.array([t.surprises for t in tails]),
        np.array([t.scale for t in tails]),
        np.array([t.shape for t in tails]),
    )
    for column, tail in enumerate(tails):
        assert together[:, column] == pytest.approx(tail.surprise(values[:, column]))


def test_one_strong_surprise_rules_the_combination_and_equal_ones_change_nothing() -> None:
    nothing = np.full((1, 3, len(KINDS)), 0.7)
    strong = nothing.copy()
    strong[0, 0, 2] = 30.0
    assert combine(nothing)[0] == pytest.approx(0.7)
    assert 25.0 < combine(strong)[0] < 30.0
    assert combine(nothing - 0.7)[0] == 0.0


def test_two_of_three_must_agree() -> None:
    nan = np.nan
    last = np.array([[1.0, 50.0, 2.0], [1.0, 50.0, 40.0], [nan, 5.0, 3.0], [nan, nan, 4.0]])
    assert agreed(last).tolist() == [2.0, 40.0, 3.0, 4.0]
