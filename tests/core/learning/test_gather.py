"""What the daemon gathers from a stream makes the calibration that the command makes from a recording."""

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.forecaster import CarriedForecaster
from monitor.core.gap import ComparedBlocks
from monitor.core.learning.fit import ENOUGH_INTERVALS, calibrate
from monitor.core.learning.from_intervals import calibrate_intervals
from monitor.core.learning.gather import HEAD_BLOCKS, LEFT_OUT, PENDING, Gathered
from monitor.core.learning.head_fit import Fitted, Stretch, fit_head
from monitor.core.learning.thinning import MOST_INTERVALS, PIECE_INTERVALS, kept
from monitor.core.pipeline import Pipeline
from monitor.core.rings import DueBlocks
from monitor.core.scoring.calibration import Calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.shipped import shipped
from tests.support.recordings import recording_file

RATE_HZ = 20_000
BLOCK = 100
INTERVAL = 10
ARRAYS = ("prototypes", "healthy", "noise", "values", "ranges", "low", "high", "centre", "spread", "kind_scale")


class Channel:
    """One channel that learns from the blocks of a stream, and the blocks that it learned from."""

    def __init__(self, settling: int = 0, names: tuple[str, ...] = ()) -> None:
        artefact = load_artefact(shipped("models/reference"))
        engine = load_engine(artefact, "onnxruntime")
        level_blocks = artefact.manifest.scaling.time_constant_blocks
        self.pipeline = Pipeline(CarriedForecaster(engine, 1), 1, BLOCK, level_blocks)
        self.row = np.array([0])
        self.pipeline.configure(self.row, INTERVAL, 25)
        self.names = names
        self.pipeline.gatherer.measured.tell(names)
        self.pipeline.learn(self.row, None, 0.0)
        self.pipeline.gatherer.begin(0, 7, settle=100, settling=settling, names=names)
        self.fitted: Fitted | None = None
        self.gathered: list[Gathered] = []
        self.signal: list[Float32] = []
        self.forecast: list[Float32] = []
        self.before: Float32 | None = None
        self.speeds: list[float] = []
        self.blocks = 0
        self.pipeline.listener = self._compared

    def _compared(self, batch: ComparedBlocks) -> None:
        if self.fitted is not None:
            if self.before is None:
                assert batch.before is not None
                self.before = batch.before[0]
            self.signal.append(batch.signal[0])
            self.forecast.append(batch.forecast[0])

    def run(self, samples: Float32, conditions: tuple[float, ...] = ()) -> None:
        """Push samples; take a turn for the head as soon as the machine has settled."""
        gatherer = self.pipeline.gatherer
        for block in samples[: samples.size // BLOCK * BLOCK].reshape(-1, 1, BLOCK):
            start = np.array([self.blocks * BLOCK])
            due = DueBlocks(self.row, block, start, np.array([self.blocks == 0]), np.zeros(1))
            values = np.array([conditions], np.float32) if self.names else None
            count = len(self.signal)
            done = self.pipeline.process(due, values)
            self.speeds += conditions * (len(self.signal) - count)
            self.blocks += 1
            if done.intervals is None:
                continue
            judged = done.intervals.judgements
            gatherer.close(self.row, judged.refusal, judged.learning, judged.raw, np.array([float(self.blocks)]))
            for _, number, blocks in gatherer.filled():
                assert number == 7
                assert sum(len(one.signal) for one in blocks) == HEAD_BLOCKS
                self.fitted = fit_head(blocks)
                level = float(np.sqrt(np.mean([np.mean(one.signal**2) for one in blocks])))
                self.pipeline.learn(self.row, self.fitted.head, level)
                gatherer.level(0, level)
            if gatherer.fullest > PENDING // 2:
                self.take()

    def take(self) -> Gathered:
        """What came since the last time, or else what came then."""
        found = self.pipeline.gatherer.take()
        if found is not None:
            self.gathered.append(found)
        return self.gathered[-1]

    @property
    def raw(self) -> Float64:
        return np.concatenate([one.raw for one in self.gathered]).astype(np.float64)

    @property
    def places(self) -> list[int]:
        return [int(place) for one in self.gathered for place in one.place]

    def recording(self) -> list[Stretch]:
        """The blocks whose intervals were gathered, as a recording gives them."""
        assert self.before is not None
        return [Stretch(self.before, np.stack(self.signal), np.stack(self.forecast))]


def rig(speed: int, seconds: float, start: float = 0.0) -> Float32:
    with np.load(recording_file(f"uestc/healthy_{speed}rpm.npz")) as stored:
        found: Float32 = stored["acceleration"][int(start * RATE_HZ) : int((start + seconds) * RATE_HZ)]
    return found.astype(np.float32)


def same(one: Calibration, other: Calibration) -> None:
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=2e-3, atol=2e-3, err_msg=name)
    assert one.tail.surprise(np.array([30.0]))[0] == pytest.approx(other.tail.surprise(np.array([30.0]))[0], rel=1e-3)
    assert one.limit(1.0) == pytest.approx(other.limit(1.0), rel=1e-3)
    np.testing.assert_allclose(one.sensitivity, other.sensitivity, atol=0.12)  # two steps of its bisection
    assert one.healthy_s == pytest.approx(
        other.healthy_s, abs=INTERVAL * BLOCK / RATE_HZ
    )  # less than an interval is left
    for name in ("intervals", "aside_intervals", "interval_blocks", "quantities"):
        assert getattr(one, name) == getattr(other, name), name


def test_the_calibration_is_that_of_the_command_on_a_recording_of_the_same_intervals() -> None:
    """At three speeds that take turns, with the speed measured."""
    channel = Channel(names=("speed_rpm",))
    channel.pipeline.gatherer.take_turn(0, 2)
    for start in (0.0, 10.0):
        for speed in (800, 1000, 1200):
            channel.run(rig(speed, 10.0, start), (float(speed),))
    channel.take()
    assert channel.fitted is not None
    intervals = len(channel.raw)
    assert ENOUGH_INTERVALS <= intervals <= MOST_INTERVALS
    assert channel.places == list(range(intervals))
    measured = np.concatenate([one.measured for one in channel.gathered])[:, :1].astype(np.float64)
    how = {"interval_blocks": INTERVAL, "warmup_blocks": 25, "sampling_rate_hz": float(RATE_HZ)}
    learned = calibrate_intervals(channel.raw, measured, channel.names, channel.fitted, **how)  # type: ignore[arg-type]
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
    channel = Channel(settling=20)
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
    channel = Channel()
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
