"""Sensors that send bursts are told, and learned as the command learns them from a recording of the same bursts."""

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.core.arrays import Float32
from monitor.core.learning.bursts import CONTEXTS, Burst, Bursts, burst_of, cut
from monitor.core.learning.fit import calibrate
from tests.support.channels.learning_channel import LearningChannel, reference
from tests.support.channels.same_calibration import same
from tests.support.recordings import recording_file

RATE_HZ = 25_600
EVERY_S = 10.0


def records(first: int, count: int) -> Float32:
    """Records of a tenth of a second, one every ten seconds, of a bearing that is still healthy; 25 blocks each."""
    with np.load(recording_file("femto/Bearing1_1.npz")) as stored:
        return np.asarray(stored["acceleration_mg"][first : first + count, :, 0] * 0.00980665, np.float32)


def test_a_burst_is_one_interval_and_the_same_calibration_as_by_the_command() -> None:
    channel = LearningChannel(reference(), interval_blocks=2560)
    for number, record in enumerate(records(0, CONTEXTS + 2)):
        channel.run(record, burst_at_s=EVERY_S * number)
    found = channel.take()
    assert (found.burst_blocks.tolist(), found.burst_every_s.tolist()) == ([25], [EVERY_S])
    channel.configure(*cut(25, window_blocks=25))
    assert (channel.interval_blocks, channel.warmup_blocks) == (20, 5)
    channel.pipeline.gatherer.take_turn(0, 1)
    for number, record in enumerate(records(10, 230)):
        channel.run(record, burst_at_s=EVERY_S * (number + 10))
    found = channel.take()
    assert found.burst_blocks.tolist() == [0]
    learned = channel.calibration(RATE_HZ, EVERY_S).calibration
    # 26 bursts of 20 blocks made the head; the one in which that happened is cut off.
    assert len(channel.raw) == 230 - 26
    commanded = calibrate(
        [[stretch] for stretch in channel.recording()],
        interval_blocks=20,
        warmup_blocks=5,
        sampling_rate_hz=float(RATE_HZ),
        interval_s=EVERY_S,
        fitted=channel.fitted,
    )
    assert learned.interval_s == EVERY_S
    assert burst_of(learned) == Burst(25, EVERY_S)
    same(learned, commanded)


def test_a_stream_with_losses_is_no_burst_as_long_as_intervals_find_room() -> None:
    bursts, row = Bursts(2), np.array([1])
    bursts.forget(1)

    def context(blocks: int, at_s: float, *, room: bool) -> list[int]:
        told: list[int] = []
        for block in range(blocks):
            told += bursts.add(row, np.array([block == 0]), np.array([at_s])).tolist()
        if room:
            bursts.close(row)
        return told

    lengths = (30, 40, 35, 30, 200, 50, 45, 40, 60, 44, 70)
    told = [context(length, 60.0 * n, room=length == 200) for n, length in enumerate(lengths)]
    # The first was not seen whole, the fifth had room; after five more without, the next block tells.
    assert [n for n, rows in enumerate(told) if rows] == [10]
    blocks, every_s = bursts.of(np.array([0, 1]))
    assert blocks.tolist() == [0, 40]
    assert every_s[1] == 60.0


@pytest.mark.parametrize(("blocks", "expected"), [(2, (1, 1)), (12, (9, 3)), (50, (45, 5)), (200, (175, 25))])
def test_a_burst_is_used_whole(blocks: int, expected: tuple[int, int]) -> None:
    assert cut(blocks, window_blocks=25) == expected


def test_the_calibration_of_a_stream_is_none_of_bursts() -> None:
    assert burst_of(bench_calibration(20, 2000.0)) is None
