"""One channel that learns from a stream through the real pipeline, and the blocks that it learned from."""

from collections.abc import Sequence

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.forecasting.gap import ComparedBlocks
from monitor.core.learning.from_intervals import FromIntervals, calibrate_intervals
from monitor.core.learning.gather import HEAD_BLOCKS, PENDING, Gathered
from monitor.core.learning.head_fit import Fitted, Stretch, fit_head
from monitor.core.learning.thinning import every
from monitor.core.pipeline import Pipeline
from monitor.core.samples.rings import DueBlocks
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.shipped import shipped

BLOCK = 100


def reference() -> Engine:
    """The reference model."""
    return load_engine(load_artefact(shipped("models/reference")), "onnxruntime")


class LearningChannel:
    """One channel that learns from the blocks of a stream, and the blocks that it learned from."""

    def __init__(
        self,
        engine: Engine,
        interval_blocks: int,
        *,
        settling: int = 0,
        names: tuple[str, ...] = (),
        warmup_blocks: int = 25,
    ) -> None:
        self.pipeline = Pipeline(CarriedForecaster(engine, 1), 1, BLOCK)
        self.row = np.array([0])
        self.interval_blocks, self.warmup_blocks = interval_blocks, warmup_blocks
        self.pipeline.configure(self.row, interval_blocks, warmup_blocks)
        self.names = names
        self.pipeline.gatherer.measured.tell(names)
        self.pipeline.learn(self.row, None, 0.0)
        self.pipeline.gatherer.begin(0, 7, settle=100, settling=settling, names=names)
        self.fitted: Fitted | None = None
        self.gathered: list[Gathered] = []
        self.compared: list[tuple[Float32, list[Float32], list[Float32]]] = []
        self.speeds: list[float] = []
        self.blocks = 0
        self.pipeline.listener = self._compared

    def _compared(self, batch: ComparedBlocks) -> None:
        if self.fitted is not None:
            if not self.compared or not batch.follows[0]:
                assert batch.before is not None
                self.compared.append((batch.before[0], [], []))
            self.compared[-1][1].append(batch.signal[0])
            self.compared[-1][2].append(batch.forecast[0])

    def configure(self, interval_blocks: int, warmup_blocks: int) -> None:
        """Begin anew with another interval and warm-up."""
        self.interval_blocks, self.warmup_blocks = interval_blocks, warmup_blocks
        self.pipeline.configure(self.row, interval_blocks, warmup_blocks)
        self.pipeline.learn(self.row, None, 0.0)
        self.pipeline.gatherer.begin(0, 7, settle=100, names=self.names)
        self.gathered.clear()

    def run(self, samples: Float32, conditions: tuple[float, ...] = (), *, burst_at_s: float | None = None) -> None:
        """Push samples, of a stream or as a burst that came then; what a turn gives is made a head."""
        gatherer = self.pipeline.gatherer
        for place, block in enumerate(samples[: samples.size // BLOCK * BLOCK].reshape(-1, 1, BLOCK)):
            start = np.array([self.blocks * BLOCK])
            first = self.blocks == 0 if burst_at_s is None else place == 0
            due = DueBlocks(self.row, block, start, np.array([first]), np.array([burst_at_s or 0.0]))
            values = np.array([conditions], np.float32) if self.names else None
            count = self._count()
            done = self.pipeline.process(due, values)
            self.speeds += conditions * (self._count() - count)
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

    def _count(self) -> int:
        return sum(len(signal) for _, signal, _ in self.compared)

    def recording(self) -> list[Stretch]:
        """The blocks whose intervals were gathered, as a recording gives them; of bursts, a stretch of each."""
        return [Stretch(before, np.stack(signal), np.stack(forecast)) for before, signal, forecast in self.compared]

    def calibration(self, rate_hz: float, interval_s: float | None = None) -> FromIntervals:
        """What the learner makes of what was gathered."""
        seen = int(self.take().seen[0])
        assert self.fitted is not None
        measured = np.concatenate([one.measured for one in self.gathered])[:, : len(self.names)].astype(np.float64)
        return calibrate_intervals(
            self.raw,
            measured,
            self.names,
            self.fitted,
            interval_blocks=self.interval_blocks,
            warmup_blocks=self.warmup_blocks,
            sampling_rate_hz=rate_hz,
            interval_s=interval_s,
            every=int(every(seen)),
        )


def in_turns(recordings: Sequence[Float32], piece: int) -> Float32:
    """Recordings in pieces of so many samples, one of each in turn."""
    longest = max(map(len, recordings))
    return np.concatenate([one[first : first + piece] for first in range(0, longest, piece) for one in recordings])
