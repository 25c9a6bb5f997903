"""What a pipeline does with a network whose forecast is not finite, and with a calibration that comes later."""

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.forecaster import make_forecaster
from monitor.core.gap import ComparedBlocks
from monitor.core.pipeline import Pipeline
from monitor.core.rings import Rings
from monitor.core.scoring.fit import calibrate
from monitor.core.scoring.head_fit import NO_NETWORK, Stretch
from tests.support.healthy import BLOCK, INTERVAL, signal
from tests.support.numpy_engine import Exploding, NumpyEngine

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
