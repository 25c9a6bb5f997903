"""Fits the forecast of a channel's head, damped as far as its healthy data leave it uncertain.

The model that whitens would be a poor forecast. It fits every frequency to the last decibel, and iterated over a block
it amplifies what it has not seen: on seconds of data with a pure line, whose frequency then drifts, its error reached
thousands of times the signal's energy. So the forecast is a regression of its own, of all samples of a block on all
samples of the block before, and it is the energy of its error that counts.

The network's forecast comes beside it, with one gain, or with a regression of its own of what the block before leaves:
on machines with many lines, what the network knows of one line tells of the others. It gets what pays.

Three choices damp all that, each made on parts of the data that the regressions were not fitted to: the ridges; the
gains; and a factor from 0 to 1 on the gains, the least that any part asks for, because a gain that only the average
asks for is too large for some of the machine's time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float64, Floats, Rows

RIDGES = 10.0 ** np.arange(-8, 1)
"""Ridges to choose from, over the signal's power. A smaller one: pure lines are no better foreseen. A larger one than
the signal itself: noise is no worse foreseen. Fewer between: up to 1 % of the error more."""

NETWORK_RIDGES = 10.0 ** np.arange(-3, 4)
"""The same for the regression on the network's forecast, over its power; there are a hundred times fewer blocks than
samples. A smaller one: where the machine changes, the error of new data grows (with 1e-5, to twice on 3 of 400
simulated machines). None below 0.01: it takes 17 % of the error on machines with many lines, not 29 %."""

LEAST_GAIN = 0.01
"""Share of the error that the network must take away to get a weight. Lower: a network that knows nothing gets one by
chance, and where it fails the channel loses blocks. Higher: what it knows of noisy machines is not used."""

TINY = np.finfo(np.float64).tiny


class Forecast(NamedTuple):
    """A fitted forecast, and what it foresees of healthy data that it was not fitted to."""

    weights: Float64
    """(2 block_samples, block_samples) weights of the block before, then of the network's forecast; the latter are zero
    if it earned none."""
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
    size = signal.shape[1]
    past = _Held([product[:size, :size] for product in products])
    cross = [product[:size, size:] for product in products]
    ridge = past.best(RIDGES, [cross] * len(parts))
    lines = [past.weights(number, ridge, cross) for number in range(len(parts))]
    expected = np.empty_like(signal)
    for part, weights in zip(parts, lines, strict=True):
        expected[part] = before[part] @ weights
    alone = _gains([expected], signal, parts)
    ahead = past.weights(None, ridge, cross)
    chosen, of_network = alone, np.zeros((size, size))
    if network is not None:
        left = [signal - before @ weights for weights in lines]
        whole, weights = _regression(network, left, signal - before @ ahead, parts)
        for forecast, one in ((network, np.eye(size)), (whole, weights)):
            both = _gains([expected, forecast], signal, parts)
            if (both.errors < chosen.errors).all() and both.errors.sum() <= (1.0 - LEAST_GAIN) * chosen.errors.sum():
                chosen, of_network = both, both.gains[1] * one
    energy = float(np.sum(signal**2))
    return Forecast(
        np.concatenate([chosen.gains[0] * ahead, of_network]),
        float(np.clip(1.0 - chosen.errors.sum() / energy, 0.0, 1.0)),
        float(np.clip(1.0 - alone.errors.sum() / energy, 0.0, 1.0)),
    )


def _regression(
    network: Float64, left: Sequence[Float64], left_of_all: Float64, parts: Sequence[Rows]
) -> tuple[Float64, Float64]:
    """The regression on the network's forecast of what another forecast leaves.

    Args:
        network: (n, block_samples) the network's forecast.
        left: for each part, (n, block_samples) what the forecast leaves that was made without that part.
        left_of_all: the same, made with all parts.
        parts: the parts.

    Returns:
        (n, block_samples) its forecasts, each made without the part that it lies in, and the weights from all parts.
    """
    inputs = _Held([network[part].T @ network[part] for part in parts])
    crosses = [[network[part].T @ one[part] for part in parts] for one in left]
    ridge = inputs.best(NETWORK_RIDGES, crosses)
    made = np.empty_like(network)
    for number, (part, cross) in enumerate(zip(parts, crosses, strict=True)):
        made[part] = network[part] @ inputs.weights(number, ridge, cross)
    return made, inputs.weights(None, ridge, [network[part].T @ left_of_all[part] for part in parts])


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


class _Held:
    """Ridge regressions on the same inputs, each without one part of the data, and one with all."""

    def __init__(self, products: Sequence[Float64]) -> None:
        """Start with the products of the inputs with themselves, (k, k) for each part."""
        self._products = products
        total = np.sum(products, axis=0)
        without = [total - held for held in products]
        self._solved = [np.linalg.eigh(one) for one in (*without, total)]

    def weights(self, number: int | None, ridge: float, cross: Sequence[Float64]) -> Float64:
        """(k, m) weights without a part, or with all for None.

        Args:
            number: the part.
            ridge: relative to the power of the inputs.
            cross: the products of the inputs with the outputs, (k, m) for each part.
        """
        power, directions = self._solved[-1 if number is None else number]
        power = np.maximum(power, 0.0)
        target = np.sum([one for at, one in enumerate(cross) if at != number], axis=0)
        damped = power + max(ridge * float(power.mean()), TINY)
        return np.asarray((directions / damped) @ (directions.T @ target))

    def best(self, ridges: Floats, crosses: Sequence[Sequence[Float64]]) -> float:
        """The ridge with the least error on the held-out parts; ``crosses`` has the products for each of them."""
        errors = np.zeros(ridges.size)
        for number, cross in enumerate(crosses):
            for at, ridge in enumerate(ridges):
                weights = self.weights(number, float(ridge), cross)
                # Without the energy of the outputs, which is the same for all.
                errors[at] += np.sum(weights * (self._products[number] @ weights - 2.0 * cross[number]))
        return float(ridges[np.argmin(errors)])


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
