"""Made-up healthy channels for the tests of evidence and score: coloured noise that a poor forecaster has looked at."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.signal import lfilter

from monitor.core.arrays import Bool, Float32, Floats, Rows
from monitor.core.forecasting.forecaster import Engine, make_forecaster
from monitor.core.forecasting.gap import ComparedBlocks, GapFigures, GapSums
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import Stretch
from monitor.core.pipeline import Pipeline
from monitor.core.samples.rings import Rings
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.evidence.kinds import Kind
from monitor.core.scoring.interval.observations import Observations, ObservationSums
from monitor.core.scoring.scorer import Scorer, Scores

BLOCK = 20
INTERVAL = 10
RATE = 2000.0

SCALE_FREE = (Kind.SHAPE, Kind.GAP_RATIO, Kind.IMPULSES)
"""Kinds that a change of gain alone does not affect."""


def signal(blocks: int, seed: int, gain: float = 1.0, fault: float = 0.0) -> Float32:
    """Blocks of a resonance in noise; ``fault`` adds energy at high frequencies, relative."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=blocks * BLOCK)
    healthy = lfilter([1.0], [1.0, -1.2, 0.8], noise)
    ringing = lfilter([1.0], [1.0, 1.3, 0.9], rng.normal(size=noise.size))
    both = healthy / healthy.std() + fault * ringing / ringing.std()
    found: Float32 = (gain * both).astype(np.float32).reshape(blocks, BLOCK)
    return found


def stretch(blocks: Float32) -> Stretch:
    """The blocks beside a forecast that knows a little of each, at too small a gain; nothing before the first block."""
    noise = np.random.default_rng(0).normal(size=blocks.shape) * np.median(np.abs(blocks))
    forecast = (0.3 * blocks + 0.3 * noise).astype(np.float32)
    return Stretch(np.zeros(blocks.shape[1], np.float32), blocks, forecast)


def calibrated(
    stretches: list[Stretch],
    *,
    rate_hz: float = RATE,
    interval_s: float | None = None,
    quantities: Sequence[Mapping[str, Floats]] = (),
) -> Calibration:
    """A calibration from one recording for each stretch."""
    return calibrate(
        [[one] for one in stretches],
        interval_blocks=INTERVAL,
        warmup_blocks=5,
        sampling_rate_hz=rate_hz,
        interval_s=interval_s,
        block_samples=BLOCK,
        recordings=range(len(stretches)),
        quantities=quantities,
    )


def network_calibration(engine: Engine, level_blocks: int, warmup_blocks: int) -> Calibration:
    """Of a channel whose head uses what a network forecasts of it."""
    row = np.zeros(1, np.intp)
    pipeline, rings = Pipeline(make_forecaster(engine, "carried", 1), 1, BLOCK, level_blocks), Rings(1, 2000, BLOCK)
    pipeline.configure(row, INTERVAL, warmup_blocks)
    seen: list[tuple[Float32, Float32]] = []
    pipeline.listener = lambda batch: seen.append((batch.signal[0].copy(), batch.forecast[0].copy()))
    rings.append(0, signal(2000, 1).reshape(-1), 1.0, 0.0)
    while (due := rings.take()) is not None:
        pipeline.process(due)
    signals, forecasts = (np.stack([each[i] for each in seen]) for i in (0, 1))
    return calibrate(
        [[Stretch(signals[0], signals[1:], forecasts[1:])]],
        interval_blocks=INTERVAL,
        warmup_blocks=warmup_blocks,
        sampling_rate_hz=RATE,
        block_samples=BLOCK,
    )


def healthy_calibration(blocks: int = 4000, seed: int = 1) -> Calibration:
    return calibrated([stretch(signal(blocks, seed))])


def at_load(load: float, blocks: int, seed: int, fault: float = 0.0) -> Float32:
    """A machine whose level and high frequencies grow with the load, 0 to 1."""
    low, high = signal(blocks, seed), signal(blocks, seed + 1000)
    rough = np.diff(high.ravel(), prepend=np.float32(0.0)).reshape(high.shape)
    found: Float32 = (np.exp(0.7 * load) * low + np.exp(1.2 * load - 1.0) * rough).astype(np.float32)
    return found + fault * signal(blocks, seed + 2000, fault=3.0) if fault else found


def blind(blocks: Float32) -> Stretch:
    """The blocks beside a forecast that knows nothing of them, whatever the load."""
    noise = np.random.default_rng(0).normal(size=blocks.shape)
    return Stretch(np.zeros(BLOCK, np.float32), blocks, noise.astype(np.float32))


def make_batch(rows: Rows, signal: Float32, forecast: Float32, before: Float32 | None = None) -> ComparedBlocks:
    """A batch without a mean; with ``before``, no block follows."""
    zero = np.zeros(len(rows), np.float32)
    high, low = signal.max(axis=1), signal.min(axis=1)
    start = np.zeros(len(rows), np.int64)
    follows: Bool = np.full(len(rows), before is None)
    return ComparedBlocks(rows, start, signal, high, low, signal, forecast, zero, follows, before)


class Channels:
    """Observations, gaps and scores of some calibrated channels, driven block by block."""

    def __init__(self, channels: int, calibration: Calibration, per_month: float = 1.0) -> None:
        self.rows = np.arange(channels)
        self.with_head: Bool = np.ones(channels, np.bool_)
        self.observations = ObservationSums(channels, calibration.block_samples)
        self.gaps = GapSums(channels)
        self.scorer = Scorer(channels, calibration.block_samples)
        self.observations.assign(self.rows, calibration.head)
        self.scorer.assign(self.rows, calibration, calibration.limit(per_month))

    def add(self, streams: list[Stretch], block: int) -> None:
        """Block number ``block`` of each channel's stream."""
        batch = make_batch(
            self.rows,
            np.stack([one.signal[block] for one in streams]),
            np.stack([one.forecast[block] for one in streams]),
            np.stack([one.before for one in streams]) if block == 0 else None,
        )
        self.observations.add(batch)
        self.gaps.add(batch, self.with_head)

    def figures(self, blocks: int = INTERVAL) -> tuple[Observations, GapFigures]:
        """The figures of the open intervals, ``blocks`` long."""
        samples = np.full(self.rows.size, blocks * self.observations.layout.block_samples, np.int64)
        seen = self.observations.close(self.rows, samples)
        return seen, self.gaps.close(self.rows, samples, self.with_head, seen.residual)

    def close(self) -> Scores:
        """Score the open intervals."""
        return self.scorer.score(self.rows, *self.figures())

    def run(self, streams: list[Stretch]) -> list[Scores]:
        """All whole intervals."""
        out = []
        for block in range(len(streams[0].signal) // INTERVAL * INTERVAL):
            self.add(streams, block)
            if block % INTERVAL == INTERVAL - 1:
                out.append(self.close())
        return out
