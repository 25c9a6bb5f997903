"""The figures that are compared: the product's score, and the classical ones, all smoothed and limited alike.

A classical figure x of an interval becomes log x; that, and its averages over 8 and 64 intervals, are compared with
their healthy mean and spread; the tail of what is farthest out, the
agreement of three of five intervals and the limit are the product's own. So a figure loses to another by what it sees,
not by how it is smoothed or where its limit is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from monitor.core.arrays import Float32, Float64, Floats
from monitor.core.learning.block_sums import context_sums, cut
from monitor.core.learning.fit import CAP_SPREADS, PRIOR_INTERVALS, accumulate, calibrate, robust_deviation, rolling
from monitor.core.learning.head_fit import RIDGE
from monitor.core.scoring.calibration.calibration import SECONDS_PER_MONTH, Calibration, episode_length
from monitor.core.scoring.evidence.combine import (
    AGREED_SCALE,
    KIND_SCALE,
    LEAST_AGREED_SCALE,
    SCALES,
    combine,
    unsettled,
)
from monitor.core.scoring.evidence.kinds import KINDS, features, make_plan, statistics
from monitor.core.scoring.evidence.tail import fit_scale, fit_tail
from monitor.core.scoring.interval.bands import layout
from tests.benchmarks.detection_data import Streams
from tests.support.channels.healthy import SCALE_FREE

AR_ORDER = 100
DRIFT = 0.04
"""Drift of a classical figure's logarithm that is tolerated, as the product tolerates its own."""

LINEAR_FROM = 6.0
"""Deviation of a classical figure from which its evidence grows in proportion, as the product's own."""


@dataclass(frozen=True)
class Series:
    """One figure over the intervals of one stream."""

    alone: Floats
    """(intervals,) of the interval by itself."""
    smoothed: Floats
    """(intervals,) with the averages over 8 and 64 intervals, agreed by three of five; a surprise."""
    limit: float
    """Limit of ``smoothed``."""


Figures = dict[str, list[Series]]
"""Series of each stream and phase, by figure."""


def auc(healthy: Float64, faulty: Float64) -> float:
    """Area under the ROC curve; ties count half."""
    ordered = np.sort(healthy)
    below = np.searchsorted(ordered, faulty, "left") + np.searchsorted(ordered, faulty, "right")
    return float(below.mean() / (2 * healthy.size))


def phases(interval_blocks: int, *, bursts: bool = False) -> list[int]:
    """Blocks at which the cutting into intervals starts."""
    return [0] if bursts else list(range(0, interval_blocks, max(1, interval_blocks // 4)))[:4]


def kinds_of(calibration: Calibration, raw: Floats, measured: Floats | None = None) -> tuple[Floats, Floats]:
    """Statistics and surprises of the product's kinds, (n, scales, kinds), of consecutive intervals (n, raw).

    ``measured`` are the values of the calibration's quantities, (n, C); None: they are not known.
    """
    of = layout(calibration.block_samples)
    left = calibration.combination.left(raw, of.bands, measured)
    values = features(accumulate(left, calibration.low, calibration.high), of.windows)
    statistic, _ = statistics(values, calibration.centre, calibration.spread, make_plan(of))
    surprises = statistic / calibration.kind_scale
    surprises[unsettled(np.arange(1, len(raw) + 1))] = 0.0
    return statistic, surprises


def own_surprise(calibration: Calibration, raw: Floats, measured: Floats | None = None) -> Floats:
    """The product's surprise of consecutive intervals, as for :func:`kinds_of`; over the limit it is the score."""
    _, surprises = kinds_of(calibration, raw, measured)
    return calibration.tail.surprise(rolling(combine(surprises)))


def own_series(calibration: Calibration, raw: Floats, per_month: float) -> dict[str, Series]:
    """The product's score, and what its scale-free and single kinds say, of consecutive intervals (n, raw)."""
    statistic, surprises = kinds_of(calibration, raw)
    first = surprises.copy()
    first[:, 1:] = 0.0
    free = surprises.copy()
    free[:, :, [kind not in SCALE_FREE for kind in KINDS]] = 0.0
    first_free = free.copy()
    first_free[:, 1:] = 0.0
    limit = calibration.limit(per_month)
    score = calibration.tail.surprise(rolling(combine(surprises)))
    return {
        "score": Series(combine(first), score, limit),
        "scale-free": Series(combine(first_free), rolling(combine(free)), limit),
        **{f"({kind})": Series(statistic[:, 0, k], rolling(surprises[:, :, k].max(axis=1)), limit)
           for k, kind in enumerate(KINDS)},
    }  # fmt: skip


def raw_series(calibration: Calibration, streams: Streams, starts: list[int]) -> list[Floats]:
    """Raw features of every stream and phase."""
    out = []
    for context in streams.contexts:
        sums = context_sums(context, calibration.head)
        out += [cut(sums, start, calibration.interval_blocks, calibration.block_samples) for start in starts]
    return out


def autoregression(pieces: list[Float64], order: int) -> Float64:
    """The filter from a signal to the errors of a linear model that predicts each sample from those before it.

    Yule-Walker equations, solved by Levinson's recursion (Brockwell and Davis, Time Series: Theory and Methods, 8.1).

    Args:
        pieces: contiguous pieces, (n,) each, with a mean of about zero.
        order: number of coefficients.

    Returns:
        (order + 1,): 1, -a_1, ..., -a_order.
    """
    correlation = np.zeros(order + 1)
    for piece in pieces:
        spectrum = np.fft.rfft(piece, next_fast_len(2 * piece.size))
        products = np.fft.irfft(np.abs(spectrum) ** 2)[: order + 1]
        correlation[: products.size] += products
    correlation[0] *= 1 + RIDGE
    return np.concatenate([[1.0], -solve_toeplitz(correlation[:-1], correlation[1:])])


class Channel:
    """One calibrated channel: all figures of any streams of it, each for one false alarm a month."""

    def __init__(
        self, known: Streams, rate_hz: float, interval_blocks: int, values: Sequence[float] | None = None
    ) -> None:
        """Learn from healthy streams, each a recording of its own, and if given with a measured value of its own."""
        told = [{"value": np.full(len(one), each)} for one, each in zip(known.samples, values or (), strict=False)]
        self.calibration = calibrate(
            known.contexts,
            interval_blocks=interval_blocks,
            warmup_blocks=25,
            sampling_rate_hz=rate_hz,
            block_samples=known.samples[0].shape[1],
            recordings=range(len(known.contexts)),
            quantities=told,
        )
        self.classical = Classical(known, interval_blocks, self.calibration.interval_s / SECONDS_PER_MONTH)
        self.starts = phases(interval_blocks)

    def figures(self, seen: Streams) -> Figures:
        """Series of every stream and phase, phases of one stream together."""
        found = self.classical.series(seen)
        for raw in raw_series(self.calibration, seen, self.starts):
            for name, series in own_series(self.calibration, raw, 1.0).items():
                found.setdefault(name, []).append(series)
        return found

    def scores(self, seen: Streams, values: Sequence[float] | None = None) -> dict[str, list[list[Floats]]]:
        """Score, 1 at the limit, of every stream and phase: the product's, and the same of the classical figures.

        With the measured value of each stream, of the product only: the others have no use for it.
        """
        limit, count = self.calibration.limit(1.0), len(self.starts)
        every: dict[str, list[Floats]] = {"score": []}
        for number, raw in enumerate(raw_series(self.calibration, seen, self.starts)):
            measured = None if values is None else np.full((len(raw), 1), values[number // count])
            every["score"].append(own_surprise(self.calibration, raw, measured) / limit)
        if values is None:
            for name, series in self.classical.series(seen).items():
                every[name] = [one.smoothed / one.limit for one in series]
        return {name: [one[i : i + count] for i in range(0, len(one), count)] for name, one in every.items()}


class Classical:
    """The classical figures of a channel, calibrated on the same healthy intervals."""

    def __init__(
        self, healthy: Streams, interval_blocks: int, per_interval: float, *, bursts: bool = False, seed: int = 1
    ) -> None:
        from sklearn.ensemble import IsolationForest

        self.interval_blocks, self.bursts = interval_blocks, bursts
        pieces = [stream.astype(np.float64).ravel() for stream in healthy.samples]
        order = min(AR_ORDER, min(map(len, pieces)) - 1)
        self.model = autoregression(pieces, order)
        self.starts = phases(interval_blocks, bursts=bursts)
        table = np.concatenate([self._time_domain(one) for one in self._intervals(healthy.samples)])
        self.forest = IsolationForest(n_estimators=100, random_state=seed, n_jobs=1).fit(table)
        known = self._values(healthy)
        if bursts:  # one interval a stream: the streams follow one another
            known = {name: [np.concatenate(series)] for name, series in known.items()}
        self.fitted = {name: _Smoothing(series, len(self.starts), per_interval) for name, series in known.items()}

    def series(self, streams: Streams) -> Figures:
        """All figures of all streams and phases; with bursts, of the one sequence that they are."""
        values = self._values(streams)
        if self.bursts:
            values = {name: [np.concatenate(series)] for name, series in values.items()}
        return {name: [self.fitted[name].series(one) for one in series] for name, series in values.items()}

    def _intervals(self, samples: list[Float32] | list[Float64]) -> list[Float64]:
        """(intervals, samples) of every stream and phase."""
        out = []
        for one in samples:
            stream = one.astype(np.float64)
            for start in self.starts:
                count = (len(stream) - start) // self.interval_blocks
                out.append(stream[start : start + count * self.interval_blocks].reshape(count, -1))
        return out

    def _values(self, streams: Streams) -> dict[str, list[Float64]]:
        innovations = [
            lfilter(self.model, [1.0], one.astype(np.float64).ravel()).reshape(one.shape) for one in streams.samples
        ]
        for one in innovations:  # The filter starts from nothing: its first block says nothing.
            one[0] = one[1]
        found: dict[str, list[Float64]] = {}
        tables = []
        for signal, error in zip(self._intervals(streams.samples), self._intervals(innovations), strict=True):
            energy, wrong = np.mean(signal**2, axis=1), np.mean(error**2, axis=1)
            tables.append(self._time_domain(signal))
            moments = tables[-1][:, 3]
            for name, value in {
                "RMS": np.log(energy),
                "kurtosis": np.log(moments),
                "AR(100)": np.log(wrong),
                "AR(100)/energy": np.log(wrong / energy),
            }.items():
                found.setdefault(name, []).append(value)
        strange = -self.forest.score_samples(np.concatenate(tables))  # one call: a call costs more than its rows
        found["forest"] = np.split(strange, np.cumsum([len(table) for table in tables])[:-1])
        return found

    @staticmethod
    def _time_domain(signal: Float64) -> Float64:
        """The usual features: RMS, peak, crest, kurtosis, skewness, shape, impulse and clearance factor."""
        size = np.abs(signal)
        rms, peak, mean = np.sqrt(np.mean(signal**2, axis=1)), size.max(axis=1), size.mean(axis=1)
        centred = signal - signal.mean(axis=1, keepdims=True)
        square = centred**2
        variance = square.mean(axis=1)
        root = np.mean(np.sqrt(size), axis=1) ** 2
        fourth, third = np.mean(square * square, axis=1), np.mean(square * centred, axis=1)
        return np.stack(
            [
                rms,
                peak,
                peak / rms,
                fourth / variance**2,
                third / variance**1.5,
                rms / mean,
                peak / mean,
                peak / root,
            ],
            axis=1,
        )


class _Smoothing:
    """Averages, healthy spread, tails and limit of one figure."""

    def __init__(self, healthy: list[Float64], phases: int, per_interval: float) -> None:
        """Learn from the values of each stream and phase."""
        single = np.concatenate(healthy)
        intervals = float(sum(map(len, healthy[::phases])))
        reach = CAP_SPREADS * robust_deviation(single)
        self.low, self.high = single.mean() - reach, single.mean() + reach
        averaged = [self._averaged(one) for one in healthy]
        self.mean = single.mean()
        spreads = []
        for scale, length in enumerate(SCALES):
            settled = [one[length - 1 :, scale] for one in averaged if len(one) >= length]
            white = single.var() / length
            seen = np.concatenate(settled).var() if settled else white
            worth = intervals / length
            mixed = (PRIOR_INTERVALS * white + worth * seen) / (PRIOR_INTERVALS + worth)
            spreads.append(np.sqrt(max(mixed, white) + single.var() / intervals + DRIFT**2))
        self.spread = np.array(spreads)
        statistic = [self._statistic(one) for one in averaged]
        self.scales: list[float] = []
        for scale, length in enumerate(SCALES):
            settled = [one[length - 1 :, scale] for one in statistic if len(one) >= 2 * length]
            values = np.concatenate(settled or [one[:, 0] for one in statistic])
            self.scales.append(fit_scale(values, intervals / length, KIND_SCALE, KIND_SCALE))
        totals = [rolling(self._combined(one)) for one in statistic]
        self.whole = fit_tail(np.concatenate(totals), intervals, AGREED_SCALE, LEAST_AGREED_SCALE)
        probability = min(1.0, per_interval * episode_length(np.concatenate(totals[::phases])))
        self.limit = float(-np.log(probability) * (1 + 2.0 / np.sqrt(intervals)))

    def series(self, values: Float64) -> Series:
        total = self.whole.surprise(rolling(self._combined(self._statistic(self._averaged(values)))))
        return Series(values, total, self.limit)

    def _averaged(self, values: Float64) -> Float64:
        return np.asarray(accumulate(values[:, None], np.array([self.low]), np.array([self.high]))[:, :, 0])

    def _statistic(self, averaged: Float64) -> Float64:
        z = np.maximum((averaged - self.mean) / self.spread, 0.0)
        bounded = np.minimum(z, LINEAR_FROM)
        return np.asarray(bounded * (z - 0.5 * bounded))

    def _combined(self, statistic: Float64) -> Float64:
        surprises = statistic / np.array(self.scales)
        surprises[unsettled(np.arange(1, len(statistic) + 1))] = 0.0
        return np.asarray(surprises.max(axis=1))
