"""One look at a model's forecasts: from a sample of a record, one block or many fed back, against what came.

The context is run through the engine exactly as the daemon does it: running level, state carried from zero. Fed back
means that the forecast of a block is taken for the block when the next is forecast; the level stays where the context
left it. Refuses to know: files, figures.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.forecaster import CarriedForecaster, Engine
from monitor.core.recompute import recompute
from monitor.errors import RecordingError

CONTEXT_BLOCKS = 200
"""Most blocks of context: two time constants of the level; more changes nothing."""


@dataclass(frozen=True)
class Look:
    """Forecast and observation, in the unit of the record."""

    at_sample: int
    """Index of the first forecast sample."""
    context: Float32
    """(n,) samples before it, those that were fed to the network."""
    mean: float
    """Running mean at the end of the context; the gap ratio's signal is about it."""
    level: float
    """Running RMS about the mean at the end of the context."""
    forecast: Float32
    """(blocks, block_samples)."""
    observed: Float32
    """(blocks, block_samples), what came."""

    @property
    def gap(self) -> float:
        """RMS of the residual."""
        return float(np.sqrt(np.mean((self.observed - self.forecast) ** 2)))

    @property
    def gap_ratio(self) -> float:
        """Residual energy over signal energy about the running mean; NaN for a flat signal."""
        return float(self.block_gap_ratios(together=True)[0])

    def block_gap_ratios(self, *, together: bool = False) -> Float32:
        """The gap ratio of each block, (blocks,) float32, or (1,) of all together."""
        residual = ((self.observed - self.forecast) ** 2).sum(axis=1)
        signal = ((self.observed - np.float32(self.mean)) ** 2).sum(axis=1)
        if together:
            residual, signal = residual.sum(keepdims=True), signal.sum(keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios: Float32 = (residual / signal).astype(np.float32)
        return ratios


def look(engine: Engine, record: Float32, at_sample: int, blocks: int, time_constant_blocks: int) -> Look:
    """Forecast from a sample of a record.

    Args:
        engine: runs the network.
        record: (n,) contiguous samples, any unit, finite.
        at_sample: first sample to forecast; at least ``window_blocks`` blocks must lie before it.
        blocks: forecast blocks; from the second on the forecast before is the input.
        time_constant_blocks: of the level.

    Raises:
        RecordingError: too little lies before or after the sample.
    """
    size = engine.block_samples
    least, most = engine.window_blocks * size, record.size - blocks * size
    if not least <= at_sample <= most:
        raise RecordingError(
            f"forecast at sample {at_sample}: the record has {record.size} samples; {engine.window_blocks} blocks of "
            f"{size} are needed before and {blocks} after, so take "
            + (f"one from {least} to {most}" if least <= most else "a longer record, or fewer --blocks")
        )
    count = min(at_sample // size, CONTEXT_BLOCKS)
    context = record[at_sample - count * size : at_sample].reshape(count, size)
    made = recompute(CarriedForecaster(engine, 1), context, time_constant_blocks, ahead=blocks)
    observed = record[at_sample : at_sample + blocks * size].reshape(blocks, size)
    return Look(
        at_sample,
        context.reshape(-1),
        float(made.level.mean[-1]),
        float(made.level.rms[-1]),
        made.forecast[count:],
        observed,
    )
