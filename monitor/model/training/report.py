"""Did the network earn its place? Its forecasts on held-out healthy data beside those of much simpler forecasters.

Everyone is given the same blocks at the same running level and forecasts the next block. The gap ratio is residual
energy over signal energy about the running mean, in the recording's unit: 0 is perfect, 1 is no better than forecasting
no vibration at all. Refuses to know: files, how the network was trained.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.forecaster import CarriedForecaster, Engine
from monitor.core.level import unit_blocks
from monitor.core.recompute import recompute

FIT_ROWS = 1 << 12
"""Samples taken at once when the linear forecaster is fitted; float32 within a piece, float64 across them."""


@dataclass(frozen=True)
class GapRatio:
    """How well one forecaster did on one recording."""

    overall: float
    """Residual energy over signal energy, all positions."""
    by_position: list[float]
    """The same for each sample of the block: the first is one sample ahead, the last a whole block."""


@dataclass(frozen=True)
class Comparison:
    """All forecasters on the held-out part of one recording."""

    blocks: int
    """Blocks compared; those of the warm-up are not."""
    ratios: dict[str, GapRatio]
    """By forecaster: network, persistence, zero, linear, linear_own."""


def linear_forecaster(recordings: list[list[Float32]], block_samples: int, time_constant_blocks: int) -> Float64:
    """Fit an autoregressive model of order ``block_samples`` and iterate it over one block.

    Least squares on the one-step error over all records at unit level (the covariance method of linear prediction;
    S. L. Marple, Digital Spectral Analysis, chapter 8), each recording with the same weight, as in training.

    Args:
        recordings: of each its contiguous records, (n,) float32, any unit.
        block_samples: order and horizon.
        time_constant_blocks: of the level.

    Returns:
        (block_samples, block_samples): a block at unit level times this is the forecast of the next. Zero where no
        record has two blocks.
    """
    order = block_samples
    gram = np.zeros((order + 1, order + 1))
    for records in recordings:
        own = np.zeros_like(gram)
        rows = 0
        for record in records:
            blocks = record[: record.size // block_samples * block_samples].reshape(-1, block_samples)
            samples = unit_blocks(blocks, time_constant_blocks).units.reshape(-1)
            if samples.size <= order:
                continue
            lags = np.lib.stride_tricks.sliding_window_view(samples, order + 1)
            for first in range(0, len(lags), FIT_ROWS):
                part = lags[first : first + FIT_ROWS].astype(np.float32)
                own += part.T @ part
            rows += len(lags)
        gram += own / max(rows, 1)
    if not gram.any():
        return np.zeros((order, order))
    ridge = 1e-7 * np.trace(gram) / (order + 1) * np.eye(order)
    coefficients = np.linalg.solve(gram[:-1, :-1] + ridge, gram[:-1, -1])
    # Each column says how one sample is made of the block's; a forecast sample joins the history of the next.
    history = np.eye(order)
    for _ in range(order):
        history = np.concatenate([history[:, 1:], (history @ coefficients)[:, None]], axis=1)
    return history


def compare(
    engine: Engine,
    records: list[Float32],
    linear: dict[str, Float64],
    time_constant_blocks: int,
    warmup_blocks: int,
) -> Comparison:
    """Let the network (carried state, as in the daemon) and the simpler forecasters forecast held-out records.

    Args:
        engine: runs the network.
        records: contiguous held-out records of one recording, (n,) float32 each, finite.
        linear: matrices of :func:`linear_forecaster`, by name.
        time_constant_blocks: of the level.
        warmup_blocks: blocks at the start of each record that do not count; in a record of fewer than twice as many
            its first half.

    Returns:
        The gap ratios; NaN where nothing could be compared.
    """
    size = engine.block_samples
    names = ["network", "persistence", "zero", *linear]
    errors = {name: np.zeros(size) for name in names}
    energy = np.zeros(size)
    count = 0
    for record in records:
        blocks = record[: record.size // size * size].reshape(-1, size)
        if len(blocks) < 2:
            continue
        made = recompute(CarriedForecaster(engine, 1), blocks, time_constant_blocks)
        inputs, mean, rms = made.level.units, made.level.mean, made.level.rms
        observed = (blocks[1:] - mean[:-1, None]) / rms[:-1, None]
        forecasts = {
            "network": made.units[1:],
            "persistence": inputs[:-1],
            "zero": np.zeros_like(observed),
            **{name: inputs[:-1] @ matrix for name, matrix in linear.items()},
        }
        first = min(warmup_blocks, len(blocks) // 2) - 1
        weight = rms[first:-1, None].astype(np.float64) ** 2
        energy += (weight * observed[first:] ** 2).sum(axis=0)
        for name in names:
            errors[name] += (weight * (observed[first:] - forecasts[name][first:]) ** 2).sum(axis=0)
        count += len(observed) - first
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = {
            name: GapRatio(float(error.sum() / energy.sum()), [float(ratio) for ratio in error / energy])
            for name, error in errors.items()
        }
    return Comparison(count, ratios)
