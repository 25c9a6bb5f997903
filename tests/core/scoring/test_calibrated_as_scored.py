"""Calibration and daemon compute the same features of an interval, even if the level changes within it."""

import numpy as np
import pytest

from monitor.core.learning.block_sums import context_sums, cut
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import Stretch
from monitor.core.scoring.evidence.kinds import raw_features
from tests.support.channels.healthy import Channels

SIZE = 100
BLOCKS = 120


@pytest.mark.parametrize("swing", [0.0, 0.5], ids=["steady level", "level that swings within an interval"])
@pytest.mark.parametrize("interval_blocks", [3, 20])
def test_sums_of_calibrating_and_scoring_agree(swing: float, interval_blocks: int) -> None:
    rng = np.random.default_rng(3)
    level = 2.0 * (1.0 + swing * np.sin(0.4 * np.arange(BLOCKS)))[:, None]
    signal = level * rng.normal(size=(BLOCKS, SIZE))
    forecast = 0.5 * signal + 0.1 * level * rng.normal(size=(BLOCKS, SIZE))
    stretch = Stretch(np.zeros(SIZE, np.float32), signal.astype(np.float32), forecast.astype(np.float32))
    calibration = calibrate([[stretch]], interval_blocks=interval_blocks, warmup_blocks=5, sampling_rate_hz=1000.0)
    learned = cut(context_sums([stretch], calibration.head), 0, interval_blocks, SIZE)
    channels, scored = Channels(1, calibration), []
    for k in range(BLOCKS):
        channels.add([stretch], k)
        if (k + 1) % interval_blocks == 0:
            scored.append(raw_features(*channels.figures(interval_blocks))[0])
    np.testing.assert_allclose(np.array(scored), learned, rtol=0, atol=1e-4)
