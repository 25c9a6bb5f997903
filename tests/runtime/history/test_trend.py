"""The rate of growth: right where there is one, and honest where there is none."""

import numpy as np
import pytest
from scipy.stats import t as student_t

from monitor.core.arrays import Float64
from monitor.runtime.history.outlook import SCORE_MARKS, WINDOWS, over_window, span, told
from monitor.runtime.history.store import Series
from monitor.runtime.history.trend import LEAST_SLOTS, Trend, student, trend

HOURS, DAYS, _ = WINDOWS
CELLS = 288
AT_S: Float64 = np.linspace(1.75e9, 1.75e9 + 900.0 * (CELLS - 1), CELLS)


def correlated(share: float, rng: np.random.Generator) -> Float64:
    """A course without a trend whose cells keep ``share`` of the cell before; 1: a random walk."""
    noise, found = rng.normal(size=CELLS + 1000), np.zeros(CELLS + 1000)
    for at in range(1, found.size):
        found[at] = (share * found[at - 1] if share < 1 or at > 1000 else 0.0) + noise[at]
    return found[1000:]


def excluded(share: float, courses: int) -> float:
    """How often the interval excludes zero although nothing grows."""
    rng = np.random.default_rng(round(1000 * share))
    seen = [trend(AT_S, correlated(share, rng)) for _ in range(courses)]
    return float(np.mean([one is not None and one.known for one in seen]))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99])
def test_what_does_not_grow_is_rarely_said_to(share: float) -> None:
    # 5 % is promised; of 400 courses 8 % are four standard deviations more.
    assert excluded(share, 400) < 0.09


def test_even_a_random_walk_is_mostly_not_taken_for_growth() -> None:
    assert excluded(1.0, 400) < 0.16


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_the_interval_holds_the_true_rate(share: float) -> None:
    rng, rate = np.random.default_rng(3), 2e-5
    held = []
    for _ in range(300):
        seen = trend(AT_S, 10.0 + rate * (AT_S - AT_S[0]) + correlated(share, rng))
        assert seen is not None
        held.append(seen.low <= rate <= seen.high)
    assert np.mean(held) > 0.91


def test_growth_beyond_the_noise_is_found_with_its_end() -> None:
    rng = np.random.default_rng(0)
    days = (AT_S - AT_S[0]) / 86400
    seen = trend(AT_S, 1.0 + 0.5 * days + 0.3 * correlated(0.5, rng))
    assert seen is not None
    assert seen.known
    assert seen.rate * 86400 == pytest.approx(0.5, abs=0.1)
    assert seen.over_s == pytest.approx(3 * 86400)
    when_s, earliest_s, latest_s = seen.reaches(3.0) or (0.0, 0.0, 0.0)
    assert earliest_s < when_s < latest_s
    assert when_s == pytest.approx((3.0 - max(seen.level, seen.latest)) / seen.rate)
    assert seen.reaches(1.0) is None  # passed
    assert seen.reaches(10.0) is None  # further than the window is long


def test_a_smooth_rise_and_one_that_bends_are_seen_and_holes_do_not_matter() -> None:
    x = np.linspace(0, 1, CELLS)
    for values in (1.0 + np.round(x, 3), 0.2 + 2 * x**2):
        holes = values.copy()
        holes[40:130] = np.nan
        for course in (values, holes):
            seen = trend(AT_S, course)
            assert seen is not None
            assert seen.low > 0.0
    steady = trend(AT_S, np.ones(CELLS))
    assert steady is not None
    assert not steady.known


def test_a_wave_that_fills_the_window_is_no_trend() -> None:
    x = np.linspace(0, 2 * np.pi, CELLS)
    for phase in np.linspace(0, 6, 20):
        seen = trend(AT_S, np.sin(x + phase))
        assert seen is not None
        assert not seen.known


def test_too_little_gives_nothing() -> None:
    values = np.full(CELLS, np.nan)
    assert trend(AT_S, values) is None
    values[: LEAST_SLOTS - 1] = 1.0
    assert trend(AT_S, values) is None
    values[:] = np.nan
    values[:6] = values[-6:] = 1.0  # two stretches that make two slots
    assert trend(AT_S, values) is None


def test_students_quantiles() -> None:
    assert student(2.0) == pytest.approx(student_t.ppf(0.975, 2.0), rel=0.04)
    for freedom in (4.0, 6.5, 10.0, 46.0):
        assert student(freedom) == pytest.approx(student_t.ppf(0.975, freedom), rel=0.005)


def test_only_the_last_part_of_a_history_counts() -> None:
    values = np.concatenate([np.full(1000, 5.0), np.linspace(1.0, 2.0, 360)]).astype(np.float32)
    found = over_window(Series(60, 1.75e9, {"score": values}, {"score": values}), "score", HOURS)
    assert found is not None
    assert found.over_s == HOURS.length_s
    assert found.rate * HOURS.length_s == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            Trend(259200.0, 0.5 / 86400, 0.4 / 86400, 0.7 / 86400, 2.0, 2.0, 0.0),
            (
                "The score rises by 0.5 a day (0.4 to 0.7 at 95 %) over the last 3.0 days; at this rate it reaches 3 "
                "in 2.0 days (34 h to 2.5 days), sooner if it accelerates"
            ),
        ),
        (
            Trend(259200.0, -0.5 / 86400, -0.7 / 86400, -0.4 / 86400, 2.0, 2.0, 0.0),
            "The score falls by 0.5 a day (0.4 to 0.7 at 95 %) over the last 3.0 days",
        ),
        (
            Trend(259200.0, 0.1 / 86400, -0.2 / 86400, 0.4 / 86400, 2.0, 2.0, 0.0),
            "No trend of the score over the last 3.0 days: -0.2 to 0.4 a day, at 95 %",
        ),
        (
            Trend(259200.0, 0.1 / 86400, 0.09 / 86400, 0.11 / 86400, 2.9, 3.5, 0.0),
            "The score rises by 0.1 a day (0.09 to 0.11 at 95 %) over the last 3.0 days",
        ),
    ],
)
def test_in_words(found: Trend, text: str) -> None:
    assert told(found, "score", DAYS, SCORE_MARKS) == text


def test_velocity_is_told_in_its_unit() -> None:
    found = Trend(259200.0, 1e-3 / 86400, 0.8e-3 / 86400, 1.2e-3 / 86400, 4e-3, 4e-3, 0.0)
    text = told(found, "velocity", DAYS, (2.3e-3, 4.5e-3, 7.1e-3), factor=1000.0, unit=" mm/s")
    assert text.endswith("; at this rate it reaches 4.5 mm/s in 12 h (10 h to 15 h), sooner if it accelerates")
    assert span(90.0) == "90 s"
