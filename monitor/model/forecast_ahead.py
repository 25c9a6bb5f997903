"""Forecasts one or more blocks from a position in a record and compares them with the observed samples.

The context is run through the engine exactly as in the daemon, with the running level and a state carried from zero.
With more than one block, each forecast is fed back as the input of the next one; the level then stays constant.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.recompute import recompute
from monitor.errors import RecordingError

CONTEXT_BLOCKS = 200
"""Most blocks of context, two time constants of the level. More: no different forecast. Fewer: another level."""


@dataclass(frozen=True)
class ForecastAhead:
    """A forecast and the observed samples, in the unit of the record."""

    at_sample: int
    """Index of the first forecast sample."""
    context: Float32
    """(n,) samples before it that were fed to the network."""
    mean: float
    """Running mean at the end of the context; signal energy is measured about it."""
    level: float
    """Running RMS about the mean at the end of the context."""
    forecast: Float32
    """(blocks, block_samples) forecast samples."""
    observed: Float32
    """(blocks, block_samples) observed samples."""

    @property
    def gap(self) -> float:
        """RMS of the residual."""
        return float(np.sqrt(np.mean((self.observed - self.forecast) ** 2)))

    @property
    def gap_ratio(self) -> float:
        """Residual energy over signal energy about the running mean; NaN for a flat signal."""
        return float(self.block_gap_ratios(together=True)[0])

    def block_gap_ratios(self, *, together: bool = False) -> Float32:
        """The gap ratio of each block, (blocks,) float32; with ``together`` one of all blocks, (1,)."""
        residual = ((self.observed - self.forecast) ** 2).sum(axis=1)
        signal = ((self.observed - np.float32(self.mean)) ** 2).sum(axis=1)
        if together:
            residual, signal = residual.sum(keepdims=True), signal.sum(keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios: Float32 = (residual / signal).astype(np.float32)
        return ratios


def forecast_ahead(
    engine: Engine, record: Float32, at_sample: int, blocks: int, time_constant_blocks: int
) -> ForecastAhead:
    """Forecast from a position in a record.

    Args:
        engine: runs the network.
        record: (n,) contiguous samples, any unit, finite.
        at_sample: first sample to forecast; at least ``window_blocks`` blocks must lie before it.
        blocks: blocks to forecast; from the second on, the previous forecast is the input.
        time_constant_blocks: time constant of the level.

    Raises:
        RecordingError: the record is too short before or after the sample.
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
    return ForecastAhead(
        at_sample,
        context.reshape(-1),
        float(made.level.mean[-1]),
        float(made.level.rms[-1]),
        made.forecast[count:],
        observed,
    )
