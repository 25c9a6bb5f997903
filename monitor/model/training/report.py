"""The training report: compares the network with much simpler forecasters on held-out healthy data.

All forecasters get the same blocks at the same running level and forecast the next block. The gap ratio is residual
energy over signal energy about the running mean: 0 is perfect, 1 is no better than forecasting no vibration.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.forecasting.level import unit_blocks
from monitor.core.recompute import recompute

FIT_ROWS = 1 << 12
"""Samples per piece in the fit of the linear forecaster; float32 within a piece, float64 over all. Higher: less
precise. Lower: slower."""


@dataclass(frozen=True)
class GapRatio:
    """The gap ratio of one forecaster on one recording."""

    overall: float
    """Residual energy over signal energy, over all positions in the block."""
    by_position: list[float]
    """Gap ratio at each position in the block; the first is one sample ahead, the last a whole block."""


@dataclass(frozen=True)
class Comparison:
    """All forecasters on the held-out part of one recording."""

    blocks: int
    """Number of compared blocks, without warm-up."""
    ratios: dict[str, GapRatio]
    """Gap ratio by forecaster: network, persistence, zero, linear, linear_own."""


def linear_forecaster(
    recordings: list[list[Float32]], block_samples: int, time_constant_blocks: int, blocks: int = 1
) -> Float64:
    """Fit an autoregressive model and iterate it over one block.

    Least squares on the one-step error over all records at unit level (the covariance method of linear prediction;
    S. L. Marple, Digital Spectral Analysis, chapter 8), each recording with the same weight, as in training.

    Args:
        recordings: the contiguous records of each recording, (n,) float32, any unit.
        block_samples: horizon.
        time_constant_blocks: time constant of the level.
        blocks: order of the model, in blocks.

    Returns:
        (order, block_samples): the last samples at unit level times this matrix are the forecast of the next block.
        Zero if no record is longer than the order.
    """
    order = blocks * block_samples
    gram = np.zeros((order + 1, order + 1))
    for records in recordings:
        own = np.zeros_like(gram)
        rows = 0
        for record in records:
            whole = record[: record.size // block_samples * block_samples].reshape(-1, block_samples)
            samples = unit_blocks(whole, time_constant_blocks).units.reshape(-1)
            if samples.size <= order:
                continue
            lags = np.lib.stride_tricks.sliding_window_view(samples, order + 1)
            for first in range(0, len(lags), FIT_ROWS):
                part = lags[first : first + FIT_ROWS].astype(np.float32)
                own += part.T @ part
            rows += len(lags)
        gram += own / max(rows, 1)
    if not gram.any():
        return np.zeros((order, block_samples))
    ridge = 1e-7 * np.trace(gram) / (order + 1) * np.eye(order)
    coefficients = np.linalg.solve(gram[:-1, :-1] + ridge, gram[:-1, -1])
    # Each column computes one sample from the block; a forecast sample is part of the history of the next one.
    history = np.eye(order)
    for _ in range(block_samples):
        history = np.concatenate([history[:, 1:], (history @ coefficients)[:, None]], axis=1)
    return history[:, -block_samples:]


def compare(
    engine: Engine,
    records: list[Float32],
    linear: dict[str, Float64],
    time_constant_blocks: int,
    warmup_blocks: int,
) -> Comparison:
    """Compare the network (carried mode, as in the daemon) with simpler forecasters on held-out records.

    Args:
        engine: runs the network.
        records: contiguous held-out records of one recording, (n,) float32 each, finite.
        linear: matrices from :func:`linear_forecaster`, by name.
        time_constant_blocks: time constant of the level.
        warmup_blocks: blocks at the start of each record that are not compared; in a record with fewer than twice as
            many blocks, its first half.

    Returns:
        The gap ratios; NaN if no block could be compared.
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
            **{name: _history(inputs[:-1], len(matrix)) @ matrix for name, matrix in linear.items()},
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


def _history(units: Float32, samples: int) -> Float32:
    """The last ``samples`` samples up to the end of each block, (n, samples); zero before the first block."""
    count, size = units.shape
    before = np.zeros(samples - size, np.float32)
    line = np.concatenate([before, units.ravel()])
    return np.lib.stride_tricks.sliding_window_view(line, samples)[::size][:count]
