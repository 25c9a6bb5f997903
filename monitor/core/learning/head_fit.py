"""Fits the head of a channel to its healthy data, and decides whether the network's forecast has earned a weight.

The candidates are a model without the network, one that takes the forecast near each sample, and one that takes the
whole forecast of the block, as far as the data suffice. Each is fitted to three quarters of the data and judged on the
fourth, in turn. What counts is the likelihood of the innovations, so every frequency counts alike. The gap ratio would
not do: loud low frequencies dominate it, while the errors of an uncertain model fall on the quiet ones, where faults
show. The network gets a weight only if that pays by a margin over chance, and costs no band much. The forecast, whose
gap ratio is what counts, is fitted apart from that (:mod:`monitor.core.learning.forecast_fit`). At the end what both
take from before a block is summed up in a few numbers (:mod:`monitor.core.learning.summary_fit`).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float32, Float64, Floats, Rows
from monitor.core.learning.forecast_fit import Forecast, fit_forecast, window_products
from monitor.core.learning.summary_fit import Scales, sum_up
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.head import Head, cosines, innovation_matrix

SAMPLES_PER_COEFFICIENT = 250
"""Healthy samples for each coefficient of the past. Fewer: the model overfits (on 1.3 s of data, 200 coefficients
detect 1 to 2 dB later than 50). More: long recordings are whitened less well."""

RIDGE = 1e-6
"""Relative addition to the variances. Lower: the gain is unbounded where the healthy signal has almost no energy.
Higher: deep notches of the spectrum are not whitened (at 1e-5, 0.2 dB are lost on oversampled signals)."""

TAPS = 5
"""Samples of the forecast on either side of a sample that it may take. Fewer: one gain for all frequencies; 0 costs up
to 1.8 dB in single bands where the forecast is poor. More: nothing above 0.04 dB was gained with 10."""

BLOCKS_PER_COEFFICIENT = 100
"""Healthy blocks for each coefficient, after shrinkage, by which a sample takes from the whole forecast. Fewer: healthy
data look better than new data will (on a simulated pump by 3 % of the energy at 50), and at 20 nothing is gained. More:
what the network knows beyond its forecast is not used; at 400, the gain on 30 s of bearing noise is half as large."""

FOLDS = 4
"""Parts of the healthy data that are held out in turn. Fewer: each fit has less data than the final one. More: it
takes longer."""

MOST_BLOCKS = 8192
"""Blocks that are used, evenly spread over the healthy data. Fewer: less precise. More: fits take minutes."""

RUN_BLOCKS = 128
"""Consecutive blocks of which the forecast uses all or none, if there are too many. Fewer: more pairs are cut apart.
More: the chosen runs are less evenly spread."""

LEAST_GAIN_DB = 0.05
"""Gain in likelihood, as a mean over frequency, below which the network gets no weight. Lower: networks with random
weights get some (0.03 dB on 5 s of signal). Higher: weak forecasts are not used."""

MOST_LOSS_DB = 0.5
"""Largest loss in a single band at which the network still gets a weight. Lower: a forecast that helps elsewhere is
given up. Higher: a fault in that band is seen so much later."""

MOST_ENERGY = 1e6
"""Energy of the forecast over that of the signal beyond which it counts as exploded and is not used."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive healthy blocks and their forecasts, about the running mean before each block; in m/s²."""

    before: Float32
    """(block_samples,) the block before the first."""
    signal: Float32
    """(n, block_samples) observed blocks."""
    forecast: Float32
    """(n, block_samples) the network's forecast of each block; finite."""

    def blocks_before(self, part: slice) -> Float32:
        """The block before each block of ``part``, (blocks, block_samples)."""
        first = part.start or 0
        earlier = self.before if first == 0 else self.signal[first - 1]
        return np.concatenate([earlier[None], self.signal[part][:-1]])


class Fitted(NamedTuple):
    """A head, and what it foresees of healthy data that it was not fitted to."""

    head: Head
    """The head."""
    trust: float
    """Share of the signal's energy that its forecast explains, 0 to 1."""
    linear_trust: float
    """The same for a forecast without the network."""


class Candidate(NamedTuple):
    """A way to use the network's forecast."""

    taps: int | None
    """Samples of the forecast on either side of a sample that it takes, at most :data:`TAPS`; None: it takes none."""
    whole: bool = False
    """Whether it takes from the whole forecast of the block too."""


NO_NETWORK = Candidate(None)
"""The signal alone."""

CANDIDATES = (NO_NETWORK, Candidate(TAPS), Candidate(TAPS, whole=True))
"""The ways among which the healthy data choose."""


class _Model(NamedTuple):
    past: Float64
    present: Float64


def fit_head(stretches: list[Stretch], candidates: tuple[Candidate, ...] = CANDIDATES) -> Fitted:
    """Fit a head.

    Args:
        stretches: healthy data in order of time, finite and with a signal; at least :data:`FOLDS` blocks.
        candidates: the ways to choose from; the first does without the network.

    Returns:
        The head, and how much it foresees.
    """
    blocks = _Blocks.of(stretches)
    energy = float(np.sum(blocks.signal**2))
    folds = np.array_split(np.arange(len(blocks.signal)), FOLDS)
    # A forecast that was zero in a whole part, and so perhaps in all others, is none.
    forecast = [float(np.sum(blocks.forecast[fold] ** 2)) for fold in folds]
    usable = min(forecast) > 0.0 and sum(forecast) <= MOST_ENERGY * energy
    candidates = candidates if usable else candidates[:1]
    grams = [blocks.gram(fold) for fold in folds]
    total = np.sum(grams, axis=0)
    losses = np.zeros((len(candidates), FOLDS, layout(blocks.size).bands))
    for number, (fold, gram) in enumerate(zip(folds, grams, strict=True)):
        others = np.concatenate([one for one in folds if one is not fold])
        for choice, candidate in enumerate(candidates):
            model = blocks.fit(candidate, total - gram, others)
            losses[choice, number] = _loss(blocks.innovations(model, fold))
    model = blocks.fit(candidates[choose(losses)], total, np.arange(len(blocks.signal)))
    borders = [0, *(int(blocks.number[fold[0]]) for fold in folds[1:]), int(blocks.number[-1]) + 1]
    network = blocks.forecast if len(candidates) > 1 else None
    ahead = fit_forecast(blocks.before, blocks.signal, network, folds, _products(stretches, borders))
    head, added = _head(model, ahead, blocks)
    lost = added / energy
    return Fitted(head, *(float(np.clip(trust - lost, 0.0, 1.0)) for trust in (ahead.trust, ahead.linear_trust)))


def _products(stretches: list[Stretch], borders: list[int]) -> list[Float64]:
    """:func:`window_products` of two blocks, summed over the blocks from one border to the next."""
    size = stretches[0].signal.shape[1]
    found = [np.zeros((2 * size, 2 * size)) for _ in borders[1:]]
    every = -(-borders[-1] // MOST_BLOCKS)
    first = 0
    for stretch in stretches:
        count = len(stretch.signal)
        for part, (low, high) in enumerate(pairwise(borders)):
            for begin in range(max(low - first, 0), min(high - first, count), RUN_BLOCKS):
                if (first + begin) // RUN_BLOCKS % every == 0:
                    run = slice(begin, min(begin + RUN_BLOCKS, high - first, count))
                    samples = np.concatenate([stretch.blocks_before(run)[:1], stretch.signal[run]]).ravel()
                    found[part] += window_products(samples.astype(np.float64), 2 * size)
        first += count
    return found


def choose(losses: Float64) -> int:
    """The number of the best candidate that is allowed.

    Args:
        losses: (candidates, folds, bands) minus the log likelihood of a sample; the first does without the network.
    """
    gain_db = 20.0 / np.log(10.0) * (losses[:1] - losses)
    by_fold = gain_db.mean(axis=2)
    mean, error = by_fold.mean(axis=1), by_fold.std(axis=1, ddof=1) / np.sqrt(FOLDS)
    allowed = (mean - error >= LEAST_GAIN_DB) & (gain_db.mean(axis=1).min(axis=1) >= -MOST_LOSS_DB)
    allowed[0] = True
    return int(np.argmax(np.where(allowed, mean, -np.inf)))


def _loss(innovations: Float64) -> Float64:
    """Half the logarithm of the innovations' energy by band, (bands,): minus the log likelihood of a sample.

    The energy is that of the band itself, so a change of level between the parts of the data does not count.
    """
    size = innovations.shape[1]
    spread = _position_spread(innovations)
    components = (innovations / spread) @ cosines(size)
    energy: Float64 = np.mean(components**2, axis=0) @ layout(size).pool
    return np.asarray(np.mean(np.log(spread)) + 0.5 * np.log(energy))


def _head(model: _Model, forecast: Forecast, blocks: "_Blocks") -> tuple[Head, float]:
    """The head with the innovations of a model, scaled to mean square 1 at every position and frequency.

    Returns:
        The head, and the energy that its summary adds to the error of the forecast.
    """
    known = np.concatenate([blocks.before, blocks.forecast], axis=1)
    every = np.arange(len(blocks.signal))
    error = float(np.sum((blocks.signal - known @ forecast.weights) ** 2))
    carried = np.concatenate([-innovation_matrix(model.past)[: blocks.size], model.present])
    scales = _scales(blocks.innovations(model, every))
    made = sum_up(known.T @ known / len(known), forecast.weights, carried, error / blocks.signal.size, scales)
    head = Head(model.past, *scales, *made)
    innovations = head.innovations(blocks.before, blocks.signal, blocks.forecast)
    scales = _scales(np.asarray(innovations, np.float64))
    summed_up = float(np.sum((blocks.signal - head.forecast(blocks.before, blocks.forecast)) ** 2))
    return Head(model.past, *scales, *made), summed_up - error


def _scales(innovations: Float64) -> Scales:
    """The factors that bring innovations to mean square 1."""
    position = 1.0 / _position_spread(innovations)
    energy = np.mean((innovations * position @ cosines(position.size)) ** 2, axis=0)
    # Average over neighbours: with few blocks, the energy of a single component is uncertain.
    return Scales(position, 1.0 / np.sqrt(_smoothed(energy, 3)))


def _ridge(power: Float64, coefficients: float) -> float:
    """The ridge that leaves so many effective coefficients of a regression with inputs of this power, by bisection.

    Effective coefficients: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 3.4.1.
    """
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        left = np.sum(power / (power + np.exp(middle) * power.mean()))
        low, high = (middle, high) if left > coefficients else (low, middle)
    return float(np.exp(high) * power.mean())


def _position_spread(innovations: Float64) -> Float64:
    """Spread at each position of the block: with a forecast, innovations are smaller at the start of a block."""
    spread = np.sqrt(np.mean(innovations**2, axis=0))
    return _smoothed(np.maximum(spread, np.finfo(np.float64).tiny), min(11, spread.size))


def _smoothed(values: Float64, width: int) -> Float64:
    """Moving average over ``width`` values; beyond the ends the last value counts on."""
    half = width // 2
    padded = np.pad(values, (half, width - 1 - half), mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


class _Blocks(NamedTuple):
    """The blocks that a head is fitted to, (n, block_samples) each."""

    before: Float64
    signal: Float64
    forecast: Float64
    number: Rows
    """(n,) number of each among all healthy blocks."""

    @classmethod
    def of(cls, stretches: list[Stretch]) -> "_Blocks":
        """At most :data:`MOST_BLOCKS` blocks, evenly spread."""
        count = sum(len(stretch.signal) for stretch in stretches)
        wanted = np.unique(np.linspace(0, count - 1, min(count, MOST_BLOCKS)).astype(np.intp))
        parts: list[tuple[Floats, Floats, Floats]] = []
        first = 0
        for stretch in stretches:
            end = first + len(stretch.signal)
            at = wanted[(wanted >= first) & (wanted < end)] - first
            before = stretch.signal[at - 1]
            before[at == 0] = stretch.before
            parts.append((before, stretch.signal[at], stretch.forecast[at]))
            first = end
        columns = [np.concatenate(one).astype(np.float64) for one in zip(*parts, strict=True)]
        return cls(columns[0], columns[1], columns[2], wanted)

    @property
    def size(self) -> int:
        """Samples in a block."""
        return int(self.signal.shape[1])

    @property
    def taps(self) -> int:
        """Samples of the forecast on either side."""
        return min(TAPS, (self.size - 1) // 2)

    def gram(self, chosen: Rows) -> Float64:
        """Products of the samples before, the forecast nearby and the sample itself, summed over all samples."""
        size, taps = self.size, self.taps
        width = size + 2 * taps + 2
        found = np.zeros((width, width))
        for part in np.array_split(chosen, max(1, chosen.size // 128)):
            both = np.concatenate([self.before[part], self.signal[part]], axis=1)
            past = np.lib.stride_tricks.sliding_window_view(both, size, axis=1)[:, :size, ::-1]
            padded = np.pad(self.forecast[part], ((0, 0), (taps, taps)))
            near = np.lib.stride_tricks.sliding_window_view(padded, 2 * taps + 1, axis=1)
            rows = np.concatenate([past, near, self.signal[part][:, :, None]], axis=2).reshape(-1, width)
            found += rows.T @ rows
        return found

    def fit(self, candidate: Candidate, gram: Float64, chosen: Rows) -> _Model:
        """Fit a candidate by least squares on the innovations; ``gram`` and ``chosen`` are the same blocks."""
        size = self.size
        order = int(np.clip(chosen.size * size // SAMPLES_PER_COEFFICIENT, 1, size))
        used, taps = np.arange(order), 0
        if candidate.taps is not None:
            taps, middle = min(candidate.taps, self.taps), size + self.taps
            used = np.r_[used, middle - taps : middle + taps + 1]
        scale = np.sqrt(np.maximum(np.diag(gram)[used], np.finfo(np.float64).tiny))
        normal = gram[np.ix_(used, used)] / scale / scale[:, None] + RIDGE * np.eye(used.size)
        weights = np.linalg.solve(normal, gram[used, -1] / scale) / scale
        past = np.zeros(size)
        past[:order] = weights[:order]
        present = np.zeros((size, size))
        for offset, weight in enumerate(weights[order:], -taps):
            present += weight * np.eye(size, k=-offset)
        model = _Model(past, present)
        if not candidate.whole:
            return model
        # What every forecast has in common is no forecast. Yet where a line of the spectrum is near a multiple of the
        # rate of blocks it would serve for a while, until the phase has drifted.
        common = self.forecast[chosen].mean(axis=0)
        forecast = self.forecast[chosen] - np.outer(self.forecast[chosen] @ common, common) / (common @ common)
        power, directions = np.linalg.eigh(forecast.T @ forecast)
        shrunk = directions / (power + _ridge(power, chosen.size / BLOCKS_PER_COEFFICIENT)) @ directions.T
        return _Model(past, present + shrunk @ (forecast.T @ self.innovations(model, chosen)))

    def innovations(self, model: _Model, chosen: Rows) -> Float64:
        """What the model does not predict of each sample, (blocks, block_samples)."""
        both = np.concatenate([self.before[chosen], self.signal[chosen]], axis=1)
        return np.asarray(both @ innovation_matrix(model.past) - self.forecast[chosen] @ model.present)
