"""What the daemon gathers from a stream makes the calibration that the command makes from a recording."""

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.learning.fit import ENOUGH_INTERVALS, calibrate
from monitor.core.learning.gather import LEFT_OUT, Gatherer
from monitor.core.learning.thinning import MOST_INTERVALS, PIECE_INTERVALS, kept
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.plausibility import ACCEPTED, Refusal, code
from tests.support.channels.learning_channel import BLOCK, LearningChannel, reference
from tests.support.channels.same_calibration import same
from tests.support.recordings import recording_file

RATE_HZ = 20_000
INTERVAL = 10


def rig(speed: int, seconds: float, start: float = 0.0) -> Float32:
    with np.load(recording_file(f"uestc/healthy_{speed}rpm.npz")) as stored:
        found: Float32 = stored["acceleration"][int(start * RATE_HZ) : int((start + seconds) * RATE_HZ)]
    return found.astype(np.float32)


def test_the_calibration_is_that_of_the_command_on_a_recording_of_the_same_intervals() -> None:
    """At three speeds that take turns, with the speed measured."""
    channel = LearningChannel(reference(), INTERVAL, names=("speed_rpm",))
    channel.pipeline.gatherer.take_turn(0, 2)
    for start in (0.0, 10.0):
        for speed in (800, 1000, 1200):
            channel.run(rig(speed, 10.0, start), (float(speed),))
    channel.take()
    assert channel.fitted is not None
    intervals = len(channel.raw)
    assert ENOUGH_INTERVALS <= intervals <= MOST_INTERVALS
    assert channel.places == list(range(intervals))
    how = {"interval_blocks": INTERVAL, "warmup_blocks": 25, "sampling_rate_hz": float(RATE_HZ)}
    learned = channel.calibration(RATE_HZ)
    commanded = calibrate(
        [channel.recording()],
        **how,  # type: ignore[arg-type]
        fitted=channel.fitted,
        quantities=[{"speed_rpm": np.array(channel.speeds)}],
    )
    assert learned.calibration.quantities == ("speed_rpm",)
    assert learned.calibration.ranges.tolist() == [[800.0, 1200.0]]
    assert len(learned.calibration.prototypes) > 3
    same(learned.calibration, commanded)


def test_only_a_settled_and_plausible_machine_is_learned() -> None:
    channel = LearningChannel(reference(), INTERVAL, settling=20)
    gatherer = channel.pipeline.gatherer
    gatherer.take_turn(0, 1)
    whole = rig(1000, 3.0)
    channel.run(np.clip(whole, -whole.std(), whole.std()))
    found = channel.take()
    assert found.seen.tolist() == [0]
    assert not gatherer.filled()
    counts = dict(zip(LEFT_OUT, found.left_out[0].tolist(), strict=True))
    assert counts["clipped"] > 50
    channel.run(rig(1000, 1.0))
    settled = channel.take()
    counts = dict(zip(LEFT_OUT, settled.left_out[0].tolist(), strict=True))
    assert counts["settling"] == 20
    assert settled.settled.tolist() == [True]
    channel.run(rig(1000, 6.0, 1.0))
    assert channel.fitted is not None
    before = channel.take().seen[0]
    assert before > 50
    # A long standstill: it is left out, and so are as many intervals of running after it.
    channel.run(np.float32(0.01) * rig(1000, 6.0, 7.0))
    channel.run(rig(1000, 12.0, 13.0))
    after = channel.take()
    counts = dict(zip(LEFT_OUT, after.left_out[0].tolist(), strict=True))
    assert counts["stopped"] > 100
    assert counts["settling"] == 120
    assert after.seen[0] - before < 145
    assert not after.louder[0]


def test_a_machine_that_stood_still_at_first_is_noticed() -> None:
    channel = LearningChannel(reference(), INTERVAL)
    channel.pipeline.gatherer.take_turn(0, 1)
    channel.run(np.float32(0.01) * rig(1000, 6.0))
    assert channel.fitted is not None
    assert not channel.take().louder[0]
    channel.run(rig(1000, 4.0, 6.0))
    assert channel.take().louder[0]


def test_kept_intervals_are_whole_pieces_evenly_spread_and_bounded() -> None:
    for seen in (1408, 1409, 5000, 604_800):
        at = np.flatnonzero(kept(np.arange(seen), seen))
        assert at.size + PIECE_INTERVALS >= MOST_INTERVALS // 2
        assert at.size <= MOST_INTERVALS
        pieces = np.unique(at // PIECE_INTERVALS)
        assert len(set(np.diff(pieces).tolist())) == 1
        # Whatever is wanted now was wanted at all times before.
        early = np.flatnonzero(kept(np.arange(seen), seen // 3))
        assert set(at.tolist()) <= set(early.tolist())
    assert kept(np.arange(100), 100).all()


def test_an_extension_gathers_what_the_calibration_does_not_know() -> None:
    gatherer, row = Gatherer(1, BLOCK), np.array([0])
    gatherer.begin(0, 7, seen=50, only_unknown=True)
    raw = np.ones((1, layout(BLOCK).raw), np.float32)
    for refusal in (ACCEPTED, code(Refusal.UNKNOWN_CONDITION), ACCEPTED, code(Refusal.STOPPED)):
        gatherer.close(row, np.array([refusal], np.int8), np.array([True]), raw, np.zeros(1))
    found = gatherer.take()
    assert found is not None
    assert (found.place.tolist(), found.seen.tolist()) == ([50], [51])
    assert found.left_out.sum() == 1
