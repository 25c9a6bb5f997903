"""Fits the forecast of a channel's head, damped as far as its healthy data leave it uncertain.

The model that whitens would be a poor forecast. It fits every frequency to the last decibel, and iterated over a block
it amplifies what it has not seen: on seconds of data with a pure line, whose frequency then drifts, its error reached
thousands of times the signal's energy. So the forecast is a regression of its own, of all samples of a block on all
samples of the block before, and it is the energy of its error that counts.

Three choices damp it, all made on parts of the data that the regression was not fitted to: the ridge; the gains of the
regression and of the network; and a factor from 0 to 1 on both, the least that any part asks for, because a gain that
only the average asks for is too large for some of the machine's time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float32, Float64, Rows

RIDGES = 10.0 ** np.arange(-8, 1)
"""Ridges to choose from, over the signal's power. A smaller one: pure lines are no better foreseen. A larger one than
the signal itself: noise is no worse foreseen. Fewer between: up to 1 % of the error more."""

LEAST_GAIN = 0.01
"""Share of the error that the network must take away to get a weight. Lower: a network that knows nothing gets one by
chance, and where it fails the channel loses blocks. Higher: what it knows of noisy machines is not used."""

TINY = np.finfo(np.float64).tiny


class Forecast(NamedTuple):
    """A fitted forecast, and what it foresees of healthy data that it was not fitted to."""

    ahead: Float32
    """(block_samples, block_samples) weights of the block before."""
    network_gain: float
    """Weight of the network's forecast."""
    trust: float
    """Share of the signal's energy that it explains, 0 to 1."""
    linear_trust: float
    """The same without the network."""


class _Gains(NamedTuple):
    gains: Float64
    """One for each input."""
    errors: Float64
    """Energy of the error in each part of the data."""


def fit_forecast(
    before: Float64, signal: Float64, network: Float64 | None, parts: Sequence[Rows], products: Sequence[Float64]
) -> Forecast:
    """Fit a forecast.

    Args:
        before: (n, block_samples) the block before each, about the running mean.
        signal: (n, block_samples) the blocks; they have a signal.
        network: (n, block_samples) the network's forecasts of them; None: it gets no weight.
        parts: the rows of each of the parts that are held out in turn, at least 2.
        products: of each part, :func:`window_products` of two blocks; they may rest on more than the rows.
    """
    size, total = signal.shape[1], np.sum(products, axis=0)
    others = [_Regression(total - held, size) for held in products]
    errors = np.zeros(RIDGES.size)
    for held, regression in zip(products, others, strict=True):
        errors += [_error(held, regression.weights(ridge)) for ridge in RIDGES]
    ridge = float(RIDGES[np.argmin(errors)])
    expected = np.empty_like(signal)
    for part, regression in zip(parts, others, strict=True):
        expected[part] = before[part] @ regression.weights(ridge)
    alone = chosen = _gains([expected], signal, parts)
    if network is not None:
        both = _gains([expected, network], signal, parts)
        if (both.errors < alone.errors).all() and both.errors.sum() <= (1.0 - LEAST_GAIN) * alone.errors.sum():
            chosen = both
    energy = float(np.sum(signal**2))
    ahead = chosen.gains[0] * _Regression(total, size).weights(ridge)
    return Forecast(
        ahead.astype(np.float32),
        float(chosen.gains[1]) if chosen is not alone else 0.0,
        float(np.clip(1.0 - chosen.errors.sum() / energy, 0.0, 1.0)),
        float(np.clip(1.0 - alone.errors.sum() / energy, 0.0, 1.0)),
    )


def window_products(samples: Float64, width: int) -> Float64:
    """Sum of the outer products of all windows of consecutive samples with themselves.

    Each entry follows from the one before on its diagonal: a window further, one product leaves and one comes.

    Args:
        samples: (n,) consecutive samples.
        width: samples in a window.

    Returns:
        (width, width); zero if there are fewer samples.
    """
    count = samples.size - width + 1
    products = np.zeros((width, width))
    if count < 1:
        return products
    products[0] = np.correlate(samples, samples[:count], "valid")
    for row in range(1, width):
        comes, leaves = count + row - 1, row - 1
        products[row, row:] = (
            products[row - 1, row - 1 : -1]
            + samples[comes] * samples[comes : count + width - 1]
            - samples[leaves] * samples[leaves : width - 1]
        )
    return products + np.triu(products, 1).T


class _Regression:
    """The regression of the last ``size`` samples of a window on the first, for any ridge."""

    def __init__(self, products: Float64, size: int) -> None:
        power, self._directions = np.linalg.eigh(products[:size, :size])
        self._power = np.maximum(power, 0.0)
        self._target = self._directions.T @ products[:size, size:]

    def weights(self, ridge: float) -> Float64:
        """(size, size) weights, the ridge relative to the power of the samples."""
        damped = self._power + max(ridge * float(self._power.mean()), TINY)
        return np.asarray((self._directions / damped) @ self._target)


def _error(products: Float64, weights: Float64) -> float:
    """Energy of the error of a regression on the windows that the products are of."""
    size = len(weights)
    past, cross, energy = products[:size, :size], products[:size, size:], np.trace(products[size:, size:])
    return float(energy + np.sum(weights * (past @ weights - 2.0 * cross)))


def _gains(inputs: list[Float64], signal: Float64, parts: Sequence[Rows]) -> _Gains:
    """The gains of forecasts that were made without the parts that they are of, the damping included."""
    flat = np.stack([one.ravel() for one in inputs])
    gains = np.linalg.lstsq(flat @ flat.T, flat @ signal.ravel(), rcond=None)[0]
    made = sum(gain * one for gain, one in zip(gains, inputs, strict=True))
    asked = [_asked(made[part], signal[part]) for part in parts]
    damping = float(np.clip(min(asked), 0.0, 1.0))
    errors = np.array([np.sum((signal[part] - damping * made[part]) ** 2) for part in parts])
    return _Gains(np.asarray(damping * gains), errors)


def _asked(forecast: Float64, signal: Float64) -> float:
    """The gain on a forecast that leaves the least error; 1 where there is none."""
    energy = float(np.sum(forecast**2))
    return float(np.sum(forecast * signal)) / energy if energy > TINY else 1.0
