"""Bearings run to failure: how the score rises over their life, and when the alarm comes for good.

The first fifth of life is learned. An alarm is lasting if five records in a row are over the limit.
"""

from typing import Any

import numpy as np

from monitor.core.arrays import Floats
from monitor.core.forecasting.forecaster import Engine
from monitor.core.learning.fit import calibrate
from monitor.core.scoring.calibration.calibration import SECONDS_PER_MONTH
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_figures import Classical, own_series, raw_series

WARMUP_BLOCKS = 5
EVERY_S = 10.0
LEARNED = 0.2
"""Share of life that is learned."""

PARTS = 20
"""Points of a curve: one for each 5 % of life."""

IN_A_ROW = 5


def run_femto(engine: Engine, bearing: str) -> dict[str, Any]:
    """Curve and first lasting alarm of every figure."""
    records = data.femto(bearing)
    healthy = int(LEARNED * len(records))
    seen = data.forecast(engine, records, WARMUP_BLOCKS)
    blocks = len(seen.samples[0])
    calibration = calibrate(
        seen.contexts[:healthy],
        interval_blocks=blocks,
        warmup_blocks=WARMUP_BLOCKS,
        sampling_rate_hz=25600.0,
        interval_s=EVERY_S,
    )
    known = data.Streams(seen.samples[:healthy], seen.contexts[:healthy])
    figures = Classical(known, blocks, EVERY_S / SECONDS_PER_MONTH, bursts=True).series(seen)
    raw = np.concatenate(raw_series(calibration, seen, [0]))
    for name, series in own_series(calibration, raw, 1.0).items():
        figures[name] = [series]
    return {"life": {name: life(series.smoothed / series.limit, healthy) for name, (series,) in figures.items()}}


def life(scores: Floats, healthy: int) -> dict[str, Any]:
    """What scores over a whole life say; the first ``healthy`` are of the learned part."""
    over = scores >= 1.0
    lasting = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(over, IN_A_ROW).all(axis=1))
    later = lasting[lasting >= healthy]
    curve = [float(np.median(part)) for part in np.array_split(scores, PARTS)]
    until = (healthy + later[0]) / 2 if later.size else len(scores)
    return {
        "lasting_alarm_percent_of_life": 100.0 * float(later[0]) / len(over) if later.size else None,
        "healthy_episodes": int((np.diff(np.flatnonzero(over[:healthy])) > 8).sum() + over[:healthy].any()),
        "curve": curve,
        # Until half-way between the learned part and the alarm nothing should speak for one.
        "early_largest": max(curve[: max(1, int(PARTS * until / len(scores)))]),
    }


def show_life(figures: dict[str, dict[str, Any]]) -> None:
    """Print alarms of all figures, and the score's curve."""
    print(f"    {'':16}lasting alarm     false alarms while learned   largest median until half-way to the alarm")
    for name, row in figures.items():
        at = row["lasting_alarm_percent_of_life"]
        when = "never" if at is None else f"{at:5.1f} % of life"
        print(f"    {name:16}{when:18}{row['healthy_episodes']:26}   {row['early_largest']:.2f}")
    print(
        f"    median score of each {100 // PARTS} % of life: {' '.join(f'{v:.2f}' for v in figures['score']['curve'])}"
    )
