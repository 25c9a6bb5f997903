"""Calibration and daemon compute the same features of an interval, even if the level changes within it."""

import numpy as np
import pytest

from monitor.core.gap import GapSums
from monitor.core.scoring.fit import HealthyContext, block_sums, cut, in_mps2
from monitor.core.scoring.kinds import raw_features
from monitor.core.scoring.observations import ObservationSums
from monitor.core.scoring.whitening import whitening_matrix
from tests.support.healthy import make_batch

SIZE = 100
BLOCKS = 120


@pytest.mark.parametrize("swing", [0.0, 0.5], ids=["steady level", "level that swings within an interval"])
@pytest.mark.parametrize("interval_blocks", [3, 20])
def test_sums_of_calibrating_and_scoring_agree(swing: float, interval_blocks: int) -> None:
    rng = np.random.default_rng(3)
    observed = rng.normal(size=(BLOCKS, SIZE)).astype(np.float32)
    residual = (0.5 * observed + 0.1 * rng.normal(size=(BLOCKS, SIZE))).astype(np.float32)
    level = (2.0 * (1.0 + swing * np.sin(0.4 * np.arange(BLOCKS)))).astype(np.float32)
    context = HealthyContext(observed, residual, level)
    whitening = whitening_matrix([in_mps2(residual, level)])
    learned = cut(block_sums(context, in_mps2(residual, level), whitening), 0, interval_blocks, SIZE)

    observations, gaps, row = ObservationSums(1, SIZE), GapSums(1), np.zeros(1, np.intp)
    observations.assign(row, whitening)
    samples = np.array([interval_blocks * SIZE])
    scored = []
    for k in range(BLOCKS):
        part = slice(k, k + 1)
        batch = make_batch(row, observed[part], residual[part], level[part])
        observations.add(batch)
        gaps.add(batch)
        if (k + 1) % interval_blocks == 0:
            scored.append(raw_features(observations.close(row, samples), gaps.close(row, samples))[0])

    np.testing.assert_allclose(np.array(scored), learned, rtol=0, atol=1e-4)
