"""Made-up healthy channels for the tests of evidence and score: coloured noise that a poor forecaster has looked at."""

import numpy as np
from scipy.signal import lfilter

from monitor.core.arrays import Float32, Rows
from monitor.core.gap import GapSums, Residuals
from monitor.core.scoring.calibration import Calibration
from monitor.core.scoring.fit import HealthyContext, calibrate
from monitor.core.scoring.kinds import Kind
from monitor.core.scoring.observations import ObservationSums
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


def context(blocks: Float32) -> HealthyContext:
    """The blocks beside a forecast that repeats the sample before it; level 1."""
    flat = blocks.ravel()
    forecast = 0.5 * np.concatenate([np.zeros(1, np.float32), flat[:-1]])
    level = np.full(len(blocks), np.sqrt(np.mean(flat**2)), np.float32)
    residual = (flat - forecast).astype(np.float32).reshape(blocks.shape)
    return HealthyContext(blocks / level[:, None], residual / level[:, None], level)


def healthy_calibration(blocks: int = 4000, seed: int = 1) -> Calibration:
    return calibrate([context(signal(blocks, seed))], interval_blocks=INTERVAL, warmup_blocks=5, sampling_rate_hz=RATE)


def make_batch(rows: Rows, observed: Float32, residual: Float32, level_mps2: Float32 | None = None) -> Residuals:
    """A batch without a mean, from blocks in units of their level."""
    level = np.ones(len(rows), np.float32) if level_mps2 is None else level_mps2
    signal, zero = observed * level[:, None], np.zeros(len(rows), np.float32)
    high, low = signal.max(axis=1), signal.min(axis=1)
    start = np.zeros(len(rows), np.int64)
    return Residuals(rows, start, signal, high, low, signal, residual * level[:, None], zero, level)


class Channels:
    """ObservationSums, gaps and scores of some channels, driven block by block."""

    def __init__(self, channels: int, calibration: Calibration | None, per_month: float = 1.0) -> None:
        self.rows = np.arange(channels)
        self.observations = ObservationSums(channels, BLOCK)
        self.gaps = GapSums(channels)
        self.scorer = Scorer(channels, BLOCK)
        if calibration is not None:
            self.observations.assign(self.rows, calibration.whitening)
            self.scorer.assign(self.rows, calibration, calibration.limit(per_month))

    def add(self, contexts: list[HealthyContext], block: int) -> None:
        """Block number ``block`` of each channel's context."""
        batch = make_batch(
            self.rows,
            np.stack([one.observed[block] for one in contexts]),
            np.stack([one.residual[block] for one in contexts]),
            np.array([one.level_mps2[block] for one in contexts]),
        )
        self.observations.add(batch)
        self.gaps.add(batch)

    def close(self) -> Scores:
        samples = np.full(self.rows.size, INTERVAL * BLOCK, np.int64)
        seen = self.observations.close(self.rows, samples)
        return self.scorer.score(self.rows, seen, self.gaps.close(self.rows, samples))

    def run(self, contexts: list[HealthyContext]) -> list[Scores]:
        """All whole intervals."""
        out = []
        for block in range(len(contexts[0].observed) // INTERVAL * INTERVAL):
            self.add(contexts, block)
            if block % INTERVAL == INTERVAL - 1:
                out.append(self.close())
        return out
