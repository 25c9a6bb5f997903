"""What a pipeline does with a network without a usable forecast, and with a calibration that comes later."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import LARGEST_LEVELS, make_forecaster, unusable
from monitor.core.forecasting.gap import ComparedBlocks
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import NO_NETWORK, Stretch
from monitor.core.pipeline import Pipeline
from monitor.core.samples.rings import Rings
from monitor.core.scoring.plausibility import Skip
from tests.support.channels.healthy import BLOCK, INTERVAL, signal
from tests.support.networks.numpy_engine import Exploding, NumpyEngine

WARMUP = 3


def drive(pipeline: Pipeline, blocks: Float32) -> tuple[int, list[float]]:
    """Blocks that were scored, and the scores."""
    rings = Rings(1, len(blocks) + 1, BLOCK)
    rings.append(0, blocks.reshape(-1), 1.0, 0.0)
    scored, scores = 0, []
    while (due := rings.take()) is not None:
        processed = pipeline.process(due)
        scored += int(processed.scored.sum())
        if processed.intervals is not None:
            scores += processed.intervals.judgements.score.tolist()
    return scored, scores


@dataclass
class Outcome:
    """What became of one channel."""

    scored: int = 0
    skipped: Counter[Skip] = field(default_factory=Counter)
    gap_ratios: list[float] = field(default_factory=list)


def drive_together(engine: NumpyEngine, blocks: list[Float32]) -> list[Outcome]:
    """Channels of equal length in common batches."""
    rows = np.arange(len(blocks))
    pipeline = Pipeline(make_forecaster(engine, "carried", rows.size), rows.size, BLOCK)
    pipeline.configure(rows, INTERVAL, WARMUP)
    rings = Rings(rows.size, len(blocks[0]) + 1, BLOCK)
    for row, own in enumerate(blocks):
        rings.append(row, own.reshape(-1), 1.0, 0.0)
    found = [Outcome() for _ in blocks]
    while (due := rings.take()) is not None:
        assert due.rows.tolist() == rows.tolist()
        processed = pipeline.process(due)
        for row in rows.tolist():
            found[row].scored += int(processed.scored[row])
            for reason, which in processed.skipped.items():
                found[row].skipped[reason] += int(which[row])
        if processed.intervals is not None:
            for row, ratio in zip(processed.intervals.rows, processed.intervals.gaps.gap_ratio, strict=True):
                found[row].gap_ratios.append(float(ratio))
    return found


def made(engine: NumpyEngine) -> Pipeline:
    pipeline = Pipeline(make_forecaster(engine, "carried", 1), 1, BLOCK)
    pipeline.configure(np.zeros(1, np.intp), INTERVAL, WARMUP)
    return pipeline


def test_a_head_without_the_network_loses_nothing_by_a_forecast_that_is_not_finite() -> None:
    blocks = signal(300, 1)
    healthy = Stretch(blocks[0], blocks[1:], np.zeros_like(blocks[1:]))
    calibration = calibrate([[healthy]], interval_blocks=INTERVAL, warmup_blocks=WARMUP, sampling_rate_hz=1000.0)
    assert not calibration.head.uses_network
    found = []
    for engine in (NumpyEngine(BLOCK), Exploding(BLOCK)):
        pipeline = made(engine)
        pipeline.assign(np.zeros(1, np.intp), calibration, calibration.limit(1.0))
        found.append(drive(pipeline, blocks))
    assert found[0] == found[1]
    assert found[0][0] == len(blocks) - WARMUP
    assert np.isfinite(found[0][1]).all()


def test_without_a_calibration_it_ends_the_context() -> None:
    pipeline = made(Exploding(BLOCK))
    scored, _ = drive(pipeline, signal(300, 1))
    assert int(pipeline.unforeseen[0]) == 300 // Exploding.EVERY
    assert scored == 300 // Exploding.EVERY * (Exploding.EVERY - WARMUP)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e5])
def test_it_costs_its_own_channel_a_warm_up_and_its_neighbours_nothing(value: float) -> None:
    blocks = [signal(120, seed) for seed in range(3)]
    sound = [drive_together(NumpyEngine(BLOCK), blocks)[row] for row in range(3)]
    found = drive_together(Exploding(BLOCK, row=1, value=value, times=1), blocks)
    assert (found[0], found[2]) == (sound[0], sound[2])
    assert sound[1].skipped == {Skip.WARM_UP: WARMUP, Skip.SPIKE: 0, Skip.NO_FORECAST: 0}
    assert found[1].skipped == {Skip.WARM_UP: 2 * WARMUP - 1, Skip.SPIKE: 0, Skip.NO_FORECAST: 1}
    assert found[1].scored + sum(found[1].skipped.values()) == 120
    # It recovers: from then on everything is as in a channel that begins there.
    later = drive_together(NumpyEngine(BLOCK), [part[Exploding.EVERY :] for part in blocks])[1]
    count = len(later.gap_ratios)
    assert count == (120 - Exploding.EVERY - WARMUP) // INTERVAL
    assert found[1].gap_ratios[-count:] == later.gap_ratios


def test_missing_samples_after_it_are_what_the_next_block_is_skipped_for() -> None:
    blocks, pipeline = signal(Exploding.EVERY + 1, 1), made(Exploding(BLOCK))
    rings = Rings(1, len(blocks) + 1, BLOCK)
    rings.append(0, blocks[:-1].reshape(-1), 1.0, 0.0)
    while (due := rings.take()) is not None:
        pipeline.process(due)
    rings.start_context(0, 10**6)
    rings.append(0, blocks[-1], 1.0, 0.0)
    due = rings.take()
    assert due is not None
    assert [reason for reason, which in pipeline.process(due).skipped.items() if which[0]] == [Skip.WARM_UP]


def test_a_calibration_in_the_middle_of_an_interval_starts_a_new_one() -> None:
    blocks, rows = signal(300, 1), np.zeros(1, np.intp)
    healthy = Stretch(blocks[0], blocks[1:], np.zeros_like(blocks[1:]))
    calibration = calibrate(
        [[healthy]], interval_blocks=INTERVAL, warmup_blocks=WARMUP, sampling_rate_hz=1000.0, candidates=(NO_NETWORK,)
    )
    pipeline, compared = made(NumpyEngine(BLOCK)), []

    def listen(batch: ComparedBlocks) -> None:
        compared.append(int(batch.start_sample[0]) // BLOCK)

    pipeline.listener = listen
    rings = Rings(1, len(blocks) + 1, BLOCK)
    rings.append(0, blocks.reshape(-1), 1.0, 0.0)
    ratios = []
    for number in range(200):
        if number == 104:
            pipeline.assign(rows, calibration, calibration.limit(1.0))
        due = rings.take()
        assert due is not None
        intervals = pipeline.process(due).intervals
        if intervals is not None:
            ratios.append((int(intervals.start_sample[0]) // BLOCK, float(intervals.gaps.gap_ratio[0])))
    assert 104 not in compared  # the block before it was not kept
    assert compared[compared.index(103) + 1] == 105
    later = [ratio for start, ratio in ratios if start >= 104]
    assert ratios[10][0] == 105
    assert later == pytest.approx([calibration.gap_ratio] * len(later), rel=0.3)


def test_an_alarm_waits_until_a_majority_of_intervals_can_agree() -> None:
    healthy = Stretch(signal(1, 1)[0], signal(2000, 1), np.zeros((2000, BLOCK), np.float32))
    calibration = calibrate(
        [[healthy]], interval_blocks=INTERVAL, warmup_blocks=WARMUP, sampling_rate_hz=1000.0, candidates=(NO_NETWORK,)
    )
    for loud, expected in ((INTERVAL // 2, [0, 0, 0, 0, 0]), (5 * INTERVAL, [0, 0, 2, 2, 2])):
        blocks = signal(6 * INTERVAL, 2)
        first = WARMUP + 1  # the first interval begins here
        blocks[first : first + loud] = signal(loud, 3, fault=3.0)
        pipeline = made(NumpyEngine(BLOCK))
        pipeline.assign(np.zeros(1, np.intp), calibration, calibration.limit(1.0))
        rings = Rings(1, len(blocks) + 1, BLOCK)
        rings.append(0, blocks.reshape(-1), 1.0, 0.0)
        scores, states = [], []
        while (due := rings.take()) is not None:
            if (intervals := pipeline.process(due).intervals) is not None:
                scores += intervals.judgements.score.tolist()
                states += intervals.judgements.alarm_state.tolist()
        assert scores[0] > 1.0  # nothing is hidden
        assert states[:5] == expected


def test_a_forecast_is_unusable_if_it_is_not_finite_or_far_louder_than_the_level() -> None:
    forecasts = np.ones((6, 100), np.float32)
    assert unusable(forecasts) is None
    forecasts[0] = 0.99 * LARGEST_LEVELS
    forecasts[1] = 1.01 * LARGEST_LEVELS
    forecasts[2, 7], forecasts[3, 7], forecasts[4, 7] = np.nan, -np.inf, 3e38  # the last one's square is infinite
    found = unusable(forecasts)
    assert found is not None
    assert found.tolist() == [False, True, True, True, True, False]
    assert unusable(forecasts[[0, 5]]) is None
