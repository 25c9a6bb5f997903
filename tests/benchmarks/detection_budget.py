"""Whether healthy machines alarm as often as they may: surrogate healthy data of any length, made from a real record.

Blocks of a real healthy recording, runs of ten in random order, make as many intervals as are wanted: the tails of
bands, level and kurtosis are the machine's own. A budget is learned from one stretch and counted on others, through
score, limit and alarm rule. The machine stays at one speed, or wanders through three.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.core.arrays import Float64, Floats
from monitor.core.forecasting.forecaster import Engine
from monitor.core.learning.block_sums import context_sums, cut
from monitor.core.learning.fit import calibrate, calibrate_sums
from monitor.core.learning.head_fit import Fitted
from monitor.core.scoring.alarm import Alarm, State
from monitor.core.scoring.calibration.calibration import SECONDS_PER_MONTH, Calibration
from monitor.core.scoring.evidence.combine import MEMORY
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_figures import own_surprise

INTERVAL_BLOCKS = 20
RUN_BLOCKS = 10
CHANNELS = 100
"""Independent channels that are counted together."""

RATE_HZ = 20000.0
SPEEDS_RPM = (800, 1000, 1200)
STAY_INTERVALS = 200.0
"""Mean stay in one condition."""


def surrogate(pool: Float64, intervals: int, rng: np.random.Generator) -> Float64:
    """Sums of as many blocks as make ``intervals``, drawn from the pool in runs."""
    return _runs(pool, intervals * INTERVAL_BLOCKS // RUN_BLOCKS, rng)


def wandering(pools: list[Float64], intervals: int, rng: np.random.Generator) -> Float64:
    """The same from the pools of several conditions: abrupt changes to the next one, after exponential stays.

    The conditions take turns, so that a short stretch has seen them all.
    """
    left = intervals * INTERVAL_BLOCKS // RUN_BLOCKS
    now = int(rng.integers(len(pools)))
    parts = []
    while left:
        runs = min(left, 1 + int(rng.exponential(STAY_INTERVALS * INTERVAL_BLOCKS / RUN_BLOCKS)))
        parts.append(_runs(pools[now], runs, rng))
        left -= runs
        now = (now + 1) % len(pools)
    return np.concatenate(parts)


def _runs(pool: Float64, runs: int, rng: np.random.Generator) -> Float64:
    starts = rng.integers(0, len(pool) - RUN_BLOCKS + 1, runs)
    drawn: Float64 = pool[(starts[:, None] + np.arange(RUN_BLOCKS)).ravel()]
    return drawn


def budget(
    engine: Engine, intervals: int = 1_000_000, learned: tuple[int, ...] = (1000, 3600, 3600, 3600, 20000)
) -> dict[str, Any]:
    """One condition: episodes counted over episodes allowed, see :func:`counted`."""
    _, new = data.healthy_parts(data.uestc("healthy_1000rpm"))
    known = data.forecast(engine, new[None]).contexts
    first = calibrate(known, interval_blocks=INTERVAL_BLOCKS, warmup_blocks=25, sampling_rate_hz=RATE_HZ)
    pool = context_sums(known[0], first.head)
    return counted(lambda count, rng: surrogate(pool, count, rng), first, intervals, learned)


def wandering_budget(
    engine: Engine, intervals: int = 1_000_000, learned: tuple[int, ...] = (1000, 3600)
) -> dict[str, Any]:
    """A machine that changes between three speeds; the head is of the first halves, the surrogates of the second."""
    halves = [data.halves(data.uestc(f"healthy_{speed}rpm")) for speed in SPEEDS_RPM]
    known = data.forecast_each(engine, [half[0] for half in halves]).contexts
    new = data.forecast_each(engine, [half[1] for half in halves]).contexts
    first = calibrate(
        known,
        interval_blocks=INTERVAL_BLOCKS,
        warmup_blocks=25,
        sampling_rate_hz=RATE_HZ,
        recordings=range(len(known)),
    )
    pools = [context_sums(context, first.head) for context in new]
    return counted(lambda count, rng: wandering(pools, count, rng), first, intervals, learned)


def counted(
    draw: Callable[[int, np.random.Generator], Float64], first: Calibration, intervals: int, learned: tuple[int, ...]
) -> dict[str, Any]:
    """Episodes over episodes allowed, for 1 a day, 3 a month and 1 a month of intervals of 10 s.

    One a day is 1 in 8,640 intervals of 10 s, or 1 in 86,400 of 1 s; one a month 1 in 259,200 of 10 s.

    Args:
        draw: makes the sums of so many intervals.
        first: a calibration with the head that the sums were made with.
        intervals: intervals that are scored.
        learned: intervals that are learned, for one calibration each.
    """
    rng = np.random.default_rng(1)
    test = [
        cut(draw(intervals // CHANNELS, rng), 0, INTERVAL_BLOCKS, first.block_samples).astype(np.float32)
        for _ in range(CHANNELS)
    ]
    rows = []
    for count in learned:
        calibration = calibrate_sums(
            [draw(count, rng)],
            Fitted(first.head, first.trust, first.linear_trust),
            interval_blocks=INTERVAL_BLOCKS,
            warmup_blocks=25,
            sampling_rate_hz=RATE_HZ,
            interval_s=10.0,
        )
        surprises = np.stack([own_surprise(calibration, raw) for raw in test])
        row: dict[str, Any] = {
            "learned from intervals": count,
            "prototypes": len(calibration.prototypes),
            "set aside": calibration.aside_intervals,
            "scored intervals": surprises.size,
        }
        for name, per_month in {"1 a day": 30.0, "3 a month": 3.0, "1 a month": 1.0}.items():
            allowed = surprises.size * calibration.interval_s / SECONDS_PER_MONTH * per_month
            found = episodes(surprises / calibration.limit(per_month))
            row[f"{name} (intervals of 10 s)"] = f"{found} of {allowed:.1f}, ratio {found / allowed:.2f}"
        rows.append(row)
    return {"budgets": rows}


def episodes(scores: Floats) -> int:
    """Alarms raised by the default rule over (channels, intervals), not before a majority can agree."""
    channels = np.arange(len(scores))
    alarm = Alarm(len(scores))
    raised = 0
    for column in scores[:, MEMORY // 2 :].T.astype(np.float32):
        raised += int((alarm.update(channels, column).after == State.ALARM).sum())
    return raised
