"""Whether healthy machines alarm as often as they may: surrogate healthy data of any length, made from a real record.

Blocks of a real healthy recording, runs of ten in random order, make as many intervals as are wanted: the tails of
bands, level and kurtosis are the machine's own. A budget is
learned from one stretch and counted on others, through score,
limit and alarm rule.
"""

from typing import Any

import numpy as np

from monitor.core.arrays import Float64, Floats
from monitor.core.forecaster import Engine
from monitor.core.scoring.alarm import Alarm, State
from monitor.core.scoring.fit import calibrate, calibrate_sums, context_sums, cut
from monitor.core.scoring.head_fit import Fitted
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_figures import own_series

INTERVAL_BLOCKS = 20
RUN_BLOCKS = 10
CHANNELS = 100
"""Independent channels that are counted together."""


def surrogate(pool: Float64, intervals: int, rng: np.random.Generator) -> Float64:
    """Sums of as many blocks as make ``intervals``, drawn from the pool in runs."""
    runs = intervals * INTERVAL_BLOCKS // RUN_BLOCKS
    starts = rng.integers(0, len(pool) - RUN_BLOCKS + 1, runs)
    drawn: Float64 = pool[(starts[:, None] + np.arange(RUN_BLOCKS)).ravel()]
    return drawn


def budget(
    engine: Engine, intervals: int = 1_000_000, learned: tuple[int, ...] = (1000, 3600, 3600, 3600, 20000)
) -> dict[str, Any]:
    """Episodes counted over episodes allowed, for budgets of 1 in 10^3 to 10^5 intervals and 1 a day of 10 s intervals.

    One a day is 1 in 8,640 intervals of 10 s, or 1 in 86,400 of 1 s; one a month 1 in 259,200 of 10 s.
    """
    _, new = data.healthy_parts(data.uestc("healthy_1000rpm"))
    known = data.forecast(engine, new[None]).contexts
    first = calibrate(known, interval_blocks=INTERVAL_BLOCKS, warmup_blocks=25, sampling_rate_hz=20000.0)
    pool = context_sums(known[0], first.head)
    rng = np.random.default_rng(1)
    test = [
        cut(surrogate(pool, intervals // CHANNELS, rng), 0, INTERVAL_BLOCKS, engine.block_samples)
        for _ in range(CHANNELS)
    ]
    rows = []
    for count in learned:
        calibration = calibrate_sums(
            [surrogate(pool, count, rng)],
            Fitted(first.head, first.trust, first.linear_trust),
            interval_blocks=INTERVAL_BLOCKS,
            warmup_blocks=25,
            sampling_rate_hz=20000.0,
            interval_s=10.0,
        )
        surprises = np.stack([own_series(calibration, raw, 1.0)["score"].smoothed for raw in test])
        row: dict[str, Any] = {"learned from intervals": count, "scored intervals": surprises.size}
        for name, per_month in {"1 a day": 30.0, "3 a month": 3.0, "1 a month": 1.0}.items():
            allowed = surprises.size * calibration.interval_s / (30 * 86400.0) * per_month
            counted = episodes(surprises / calibration.limit(per_month))
            row[f"{name} (intervals of 10 s)"] = f"{counted} of {allowed:.1f}, ratio {counted / allowed:.2f}"
        rows.append(row)
    return {"budgets": rows}


def episodes(scores: Floats) -> int:
    """Alarms raised by the default rule over (channels, intervals)."""
    channels = np.arange(len(scores))
    alarm = Alarm(len(scores))
    raised = 0
    for column in scores.T.astype(np.float32):
        raised += int((alarm.update(channels, column).after == State.ALARM).sum())
    return raised
