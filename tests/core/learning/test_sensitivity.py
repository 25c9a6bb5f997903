"""Sensitivity: what a calibration says it would see is what the scorer sees, no more and no less."""

from dataclasses import fields, replace

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.gap import GapFigures
from monitor.core.learning.sensitivity import MOST_DECIBELS, advice, sensitivity_document, stated
from monitor.core.scoring.calibration.calibration import OVER_S, Calibration
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.observations import Observations
from monitor.core.scoring.scorer import Scorer
from tests.support.channels.healthy import BLOCK, INTERVAL, Channels, calibrated, signal, stretch

RATE = 200.0
"""Intervals of a second, so a minute is too short for the longest average to settle."""

BEFORE = 100
"""Healthy intervals before a rise."""

BANDS = layout(BLOCK).bands


def learned_from(parts: list[Float32], interval_s: float | None = None) -> Calibration:
    """A calibration from one recording for each part."""
    return calibrated([stretch(part) for part in parts], rate_hz=RATE, interval_s=interval_s)


def highest_scores(calibration: Calibration, healthy: Float32, decibels: Float64, intervals: int) -> Float64:
    """Highest scores of the real scorer within so many intervals after bands rose by ``decibels``, (trials, bands)."""
    one, part = Channels(1, calibration), stretch(healthy)
    rows = np.arange(len(decibels))
    scorer = Scorer(rows.size, BLOCK)
    scorer.assign(rows, calibration, calibration.limit(1.0))
    factor = (10.0 ** (decibels / 10.0)).astype(np.float32)
    scores = []
    for interval in range(BEFORE + intervals):
        for block in range(interval * INTERVAL, (interval + 1) * INTERVAL):
            one.add([part], block)
        seen, gaps = one.figures()
        seen = Observations(*(np.repeat(getattr(seen, each.name), rows.size, axis=0) for each in fields(seen)))
        gaps = GapFigures(*(np.repeat(getattr(gaps, each.name), rows.size) for each in fields(gaps)))
        if interval >= BEFORE:
            seen = replace(seen, bands=seen.bands * factor)
        scores.append(scorer.score(rows, seen, gaps).score)
    assert np.max(scores[:BEFORE]) < 1.0
    return np.asarray(np.max(scores[BEFORE:], axis=0))


ONE = [signal(4000, 1)]
TWO = [signal(2000, 1), signal(2000, 2, gain=2.0, fault=0.7)]


@pytest.mark.parametrize(
    ("parts", "unseen"),
    [(ONE, [signal(4000, 11)]), (TWO, [signal(4000, 12), signal(4000, 13, gain=2.0, fault=0.7)])],
    ids=["one condition", "two conditions"],
)
@pytest.mark.parametrize(("over", "intervals"), [("1m", 60), ("1d", 300)])
def test_the_stated_rise_raises_the_alarm_and_a_smaller_one_does_not(
    parts: list[Float32], unseen: list[Float32], over: str, intervals: int
) -> None:
    calibration = learned_from(parts)
    assert len(calibration.prototypes) == len(parts)
    rise = calibration.sensitivity[:, list(OVER_S).index(over)]
    risen = np.concatenate([np.eye(BANDS), np.ones((1, BANDS))])
    trials = np.concatenate([risen * (rise + 1.0)[:, None], risen * np.maximum(rise - 1.0, 0.0)[:, None]])
    alarmed = np.array([highest_scores(calibration, one, trials, intervals) >= 1.0 for one in unseen])
    more, less = np.split(alarmed.mean(axis=0), 2)
    # Half of the healthy intervals: those of one condition, where a rise in the other is explained away.
    assert (more >= 0.5).all()
    assert (less <= 0.5).all()
    assert (more > less).sum() > BANDS // 2


def test_what_another_condition_shows_is_seen_later() -> None:
    one, two = learned_from(ONE), learned_from(TWO)
    assert (one.sensitivity[:, 1] <= one.sensitivity[:, 0]).all()
    assert one.sensitivity[-1, 1] < one.sensitivity[:-1, 1].min()
    assert np.median(two.sensitivity / one.sensitivity) > 1.3


def test_with_long_intervals_no_alarm_comes_within_a_minute() -> None:
    slow = learned_from([signal(400, 1)], interval_s=30.0)
    assert (slow.sensitivity[:, 0] == MOST_DECIBELS).all()
    assert (slow.sensitivity[:, 1] < 10.0).all()
    assert stated(slow).startswith("sees a lasting rise of more than 30 dB over all bands within a minute, ")
    assert advice(slow) == (
        "no alarm comes within a minute: three intervals of 30 s must agree; choose a shorter interval if "
        "a minute matters"
    )
    rises = slow.sensitivity.copy()
    rises[4, 1] = 12.0
    assert advice(replace(slow, sensitivity=rises)).endswith(
        "if a minute matters; needs more than 10 dB in 0.04 to 0.05 kHz: faults there may stay unseen; calibrate with "
        "more data, fewer conditions or a shorter interval"
    )


def test_it_is_told_in_words_and_numbers() -> None:
    rises = np.full((BANDS + 1, 2), (2.0, 1.5))
    rises[3], rises[-1] = (4.06, 3.01), (1.3, 0.9)
    good = replace(learned_from([signal(400, 1)]), sensitivity=rises)
    assert stated(good) == (
        "sees a lasting rise of 1.3 dB over all bands within a minute, 0.9 dB within a day; weakest in 0.03 to "
        "0.04 kHz: 4.1 dB and 3.0 dB (limit for one false alarm a month)"
    )
    assert advice(good) == ""
    document = sensitivity_document(good)
    assert document["all"] == {"1m": 1.3, "1d": 0.9}
    assert document["bands"][3] == {"from_hz": 30.0, "to_hz": 40.0, "1m": 4.06, "1d": 3.01}
    assert len(document["bands"]) == BANDS
    poor = rises.copy()
    poor[2], poor[7] = (12.0, 11.0), (MOST_DECIBELS, 8.0)
    assert advice(replace(good, sensitivity=poor)) == (
        "needs more than 10 dB in 0.02 to 0.03 kHz, 0.07 to 0.08 kHz: faults there may stay unseen; calibrate with "
        "more data, fewer conditions or a shorter interval"
    )
    poor[:-1] = 20.0
    assert "0.01 to 0.02 kHz, 0.02 to 0.03 kHz and 7 more bands: faults" in advice(replace(good, sensitivity=poor))
