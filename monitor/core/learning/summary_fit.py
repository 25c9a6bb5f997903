"""Sums up what is known before a block in a few numbers, for the forecast and for the whitening at once.

Both were fitted with a weight for each sample of the block before and of the network's forecast. Of these weights only
the directions matter in which the machine's signal really varies. So the outputs of both are put side by side, each in
the unit of its own error, and the directions in which they vary most on the healthy data are kept: the principal
components of the fitted outputs, which is the best approximation of a reduced rank (G. Reinsel and R. Velu,
Multivariate Reduced-Rank Regression, chapter 2). One summary for both needs fewer numbers than one for each, because
both need the same of the past: the phase of every line and the ringing of every resonance.
"""

from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.head import SUMMARY_NUMBERS, cosines

NUMBERS = (16, 32, SUMMARY_NUMBERS)
"""Numbers in a summary to choose from. Fewer than 16: enough for a healthy machine of few lines, but what the block
before holds of a fault is whitened less well, and its alarm comes 0.1 to 0.3 dB later. So it does with fewer than the
most where the network has weight and the inputs are twice as many. More between: channels with equal numbers, which are
computed together, get rarer."""

MOST_ADDED = 0.02
"""Share of its error that may come to the forecast, and to the innovations of any band, if a smaller summary is chosen.
Lower: more time and memory for less than a tenth of a decibel. Higher: bands in which the machine is quiet lose some
tenths."""

UNSEEN = 1e-2
"""Power, relative to the inputs', of what the machine has not shown yet, in any direction. Lower: a line that drifts
away later comes into the forecast through what the whitening needs (on one of 437 signals the error reached 174 times
the signal's energy at 0, 9 at 0.001, 2.6 at this value). Higher: machines that do not change are forecast worse (CWRU's
fan end by 2 % at this value)."""

TINY = np.finfo(np.float64).tiny


class Scales(NamedTuple):
    """Factors that bring innovations to mean square 1."""

    position: Float64
    """(block_samples,) at each position of a block."""
    component: Float64
    """(block_samples,) of each cosine component."""


class Summary(NamedTuple):
    """A summary and what follows from it; see :class:`monitor.core.scoring.interval.head.Head`."""

    summary: Float32
    """(inputs, k)."""
    ahead: Float32
    """(k, block_samples)."""
    carried: Float32
    """(k, block_samples)."""


def sum_up(products: Float64, forecast: Float64, carried: Float64, error: float, scales: Scales) -> Summary:
    """Find the best summary.

    Args:
        products: (inputs, inputs) mean products of the inputs with themselves.
        forecast: (inputs, block_samples) their weights in the forecast.
        carried: (inputs, block_samples) their weights in the innovations.
        error: mean square of the error of the forecast.
        scales: of the innovations.
    """
    size = forecast.shape[1]
    unit = 1.0 / np.sqrt(max(error, TINY))
    spectrum = carried * scales.position @ cosines(size) * scales.component
    weights = np.concatenate([forecast * unit, spectrum], axis=1)
    energy, directions = np.linalg.eigh(weights.T @ products @ weights)
    shares = energy * directions**2
    errors = np.concatenate([shares[:size].mean(axis=0)[None], layout(size).pool.T @ shares[size:]])
    of_network = forecast[size:].any() or carried[size:].any()
    numbers = [min(each, size) for each in (NUMBERS[-1:] if of_network else NUMBERS)]
    enough = (each for each in numbers if errors[:, :-each].sum(axis=1).max() <= MOST_ADDED)
    chosen = directions[:, -next(enough, numbers[-1]) :]
    summary = weights @ chosen
    # What the machine has not shown yet reaches the forecast only damped; the summary, for the whitening, is not.
    unseen = UNSEEN * np.trace(products) / len(products) * np.eye(len(products))
    target = summary.T @ (products + unseen)
    ahead = np.linalg.lstsq(target @ summary, target @ forecast, rcond=1e-12)[0]
    back = chosen[size:].T / scales.component @ cosines(size).T / scales.position
    return Summary(summary.astype(np.float32), ahead.astype(np.float32), back.astype(np.float32))
