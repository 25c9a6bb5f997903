"""Makes the calibration of one channel from healthy blocks and their forecasts.

The blocks are divided into intervals as the daemon does it, but from several starting points, to use short data better.
The scoring then runs over these intervals without limits, and the limits follow from the distribution of the results.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from monitor.core.arrays import Bool, Float64, Floats
from monitor.core.learning.block_sums import Context, context_sums, cut, fewest_intervals
from monitor.core.learning.condition_fit import PIECE_S, Learned, drift, learn
from monitor.core.learning.head_fit import CANDIDATES, Candidate, Fitted, fit_head
from monitor.core.learning.sensitivity import sensitivity
from monitor.core.scoring.calibration.calibration import OVER_S, Calibration, episode_length
from monitor.core.scoring.calibration.conditions import Combination, logarithms
from monitor.core.scoring.calibration.measured import interval_means, learnable
from monitor.core.scoring.evidence.combine import (
    AGREED_SCALE,
    KIND_SCALE,
    LEAST_AGREED_SCALE,
    MEMORY,
    SCALES,
    agreed,
    combine,
    tamed,
    unsettled,
)
from monitor.core.scoring.evidence.kinds import KINDS, Plan, features, make_plan, statistics
from monitor.core.scoring.evidence.tail import fit_scale, fit_tail
from monitor.core.scoring.interval.bands import layout
from monitor.errors import RecordingError

PHASES = 4
"""Starting points from which the intervals are counted. More: more work, and more overlap between them."""

ENOUGH_INTERVALS = 1000
"""Healthy intervals from which one starting point does. Lower: short data are used less well. Higher: more work."""

PRIOR_INTERVALS = 10.0
"""Weight of the prior spread, in intervals. Lower: with many bands, some get far too small a spread by chance. Higher:
measured spreads count less."""

EXCESS_SPREAD = 1.2
"""Prior ratio of the variance of a band's energy to that of a chi-square variable; 1.0 to 2.5 on real machines."""

PRIOR_PIECES = 4.0
"""Weight of the expected drift, in pieces of time. Lower: a few pieces decide. Higher: what is measured counts less."""

CAP_SPREADS = 6.0
"""Bound of the raw features, in standard deviations from their healthy mean, in the averages over intervals; see
:func:`monitor.core.scoring.evidence.combine.tamed`. Lower: a fault that begins counts for less, and alarms later (at 4,
by 2 dB within 10 s). Higher: two outliers dominate an average for its whole length."""

FLAT_SHARE = 1e-6
"""RMS of a block over that of the loudest block below which it is a flat line. Lower: a machine that stood still gets
into the limits. Higher: machines with long quiet phases are refused."""


def calibrate(
    contexts: list[Context],
    *,
    interval_blocks: int,
    warmup_blocks: int,
    sampling_rate_hz: float,
    interval_s: float | None = None,
    block_samples: int = 100,
    candidates: tuple[Candidate, ...] = CANDIDATES,
    recordings: Sequence[int] = (),
    quantities: Sequence[Mapping[str, Floats]] = (),
    fitted: Fitted | None = None,
) -> Calibration:
    """Learn what is normal for a channel.

    Args:
        contexts: healthy blocks that the network was not trained on, in order of time, without warm-up, in m/s². For
            bursts one context a burst, with ``interval_blocks`` blocks each.
        interval_blocks: scored blocks in an interval.
        warmup_blocks: blocks left out at the start of each context.
        sampling_rate_hz: sampling rate of the blocks.
        interval_s: for bursts, seconds from one burst to the next; None for a continuous signal.
        block_samples: samples of a block.
        candidates: the ways to use the network's forecast among which the data choose.
        recordings: for each context the number of its recording, ascending; none: all are of one.
        quantities: for each context its measured quantities by name, (blocks,), NaN where not known; all contexts have
            the same names; none: nothing was measured.
        fitted: a head that was fitted before; None: one is fitted to these blocks.

    Returns:
        The calibration.

    Raises:
        RecordingError: too few intervals, a block is not finite or has no signal, or too many quantities.
    """
    lengths = [sum(len(stretch.signal) for stretch in context) for context in contexts]
    chosen = [number for number, blocks in enumerate(lengths) if blocks >= interval_blocks]
    usable = [contexts[number] for number in chosen]
    whole = sum(blocks // interval_blocks for blocks in lengths)
    need = fewest_intervals(interval_blocks)
    if whole < need:
        size = block_samples
        length = interval_blocks * size / sampling_rate_hz
        # Each burst has a warm-up of its own; a continuous record has only one.
        bring_s = math.ceil(100 * (need * interval_blocks + warmup_blocks) * size / sampling_rate_hz) / 100
        bring = (
            f"{bring_s:.2f} s of healthy signal or choose a shorter --interval"
            if interval_s is None
            else f"{need} bursts as long as these"
        )
        raise RecordingError(
            f"calibration: there are {whole} healthy intervals of {length:g} s ({interval_blocks} blocks after "
            f"{warmup_blocks} of warm-up), at least {need} are needed; bring {bring}; limits get better with hours"
        )
    stretches = [stretch for context in usable for stretch in context]
    if not all(np.isfinite(one).all() for stretch in stretches for one in (stretch.signal, stretch.forecast)):
        raise RecordingError("calibration: the healthy data hold NaN or infinity; leave that part out")
    energy = np.concatenate([np.einsum("ij,ij->i", one.signal, one.signal) for one in stretches])
    if energy.min() <= FLAT_SHARE**2 * energy.max():
        raise RecordingError("calibration: part of the healthy data is a flat line; leave out where the machine stands")
    fitted = fitted or fit_head(stretches, candidates)
    return calibrate_sums(
        [context_sums(context, fitted.head) for context in usable],
        fitted,
        interval_blocks=interval_blocks,
        warmup_blocks=warmup_blocks,
        sampling_rate_hz=sampling_rate_hz,
        interval_s=interval_s,
        recordings=[recordings[number] for number in chosen] if recordings else (),
        quantities=[quantities[number] for number in chosen] if quantities else (),
    )


def calibrate_sums(
    sums: list[Float64],
    fitted: Fitted,
    *,
    interval_blocks: int,
    warmup_blocks: int,
    sampling_rate_hz: float,
    interval_s: float | None = None,
    recordings: Sequence[int] = (),
    quantities: Sequence[Mapping[str, Floats]] = (),
) -> Calibration:
    """The second half of :func:`calibrate`: from the sums of the blocks to the calibration.

    Args:
        sums: from :func:`context_sums`, one array a context.
        fitted: the head that the sums were made with.
        interval_blocks: as for :func:`calibrate`.
        warmup_blocks: as for :func:`calibrate`.
        sampling_rate_hz: as for :func:`calibrate`.
        interval_s: as for :func:`calibrate`.
        recordings: as for :func:`calibrate`, one number an array.
        quantities: as for :func:`calibrate`, one mapping an array.
    """
    names = learnable(quantities)
    grouped: dict[int, list[tuple[Float64, Float64]]] = {}
    for place, (number, one) in enumerate(zip(recordings or [0] * len(sums), sums, strict=True)):
        values = np.array([quantities[place][name] for name in names], np.float64).reshape(-1, len(one)).T
        grouped.setdefault(number, []).append((one, values))
    lengths = [len(one) for one in sums]
    starts = list(range(0, interval_blocks, max(1, interval_blocks // PHASES)))[:PHASES]
    enough = sum(length // interval_blocks for length in lengths) >= ENOUGH_INTERVALS
    if enough or all(length == interval_blocks for length in lengths):
        starts = [0]
    size = fitted.head.past.size
    healthy = [_phases(contexts, starts, interval_blocks, size) for contexts in grouped.values()]
    how = How(fitted, names, interval_blocks, warmup_blocks, sampling_rate_hz, interval_s)
    return Fit(healthy, sum(lengths), how).calibration()


class How(NamedTuple):
    """What a calibration is made with, besides the intervals."""

    fitted: Fitted
    names: tuple[str, ...]
    interval_blocks: int
    warmup_blocks: int
    rate: float
    every_s: float | None
    every: int = 1
    """Of so many intervals one was kept."""


class Healthy(NamedTuple):
    """The intervals of one recording, counted from each starting point."""

    raw: list[Float64]
    """(intervals, R) raw features, for each starting point."""
    measured: list[Float64]
    """(intervals, C) measured values beside them."""


def _phases(contexts: list[tuple[Float64, Float64]], starts: list[int], interval_blocks: int, size: int) -> Healthy:
    """The intervals of the sums and measured values of contexts."""
    return Healthy(
        [
            np.concatenate([cut(one, start, interval_blocks, size) for one, _ in contexts]).astype(np.float64)
            for start in starts
        ],
        [
            np.concatenate([interval_means(values, start, interval_blocks) for _, values in contexts])
            for start in starts
        ],
    )


class Fit:
    """The intermediate results of one calibration."""

    def __init__(self, healthy: list[Healthy], blocks: int, how: How) -> None:
        self.interval_blocks, self.warmup_blocks, self.rate = how.interval_blocks, how.warmup_blocks, how.rate
        self.fitted, self.names = how.fitted, how.names
        self.size = how.fitted.head.past.size
        self.layout = layout(self.size)
        self.interval_s = how.every_s or how.interval_blocks * self.size / how.rate
        self.spacing_s = how.every * self.interval_s
        self.blocks = blocks
        self.plan: Plan = make_plan(self.layout)
        self.raw = [one.raw for one in healthy]
        self.measured = [one.measured for one in healthy]
        self.aside: list[Bool] = []
        """(intervals,) of each recording: True where an interval was set aside; after :meth:`calibration`."""

    def calibration(self) -> Calibration:
        """Assemble the calibration."""
        bands = self.layout.bands
        logs = [np.asarray(logarithms(phases[0], bands), np.float64) for phases in self.raw]
        learned = learn(logs, [phases[0] for phases in self.measured], interval_s=self.spacing_s)
        self.aside = learned.aside
        self.intervals = float(sum((~aside).sum() for aside in learned.aside))
        combination = Combination.of(learned.prototypes, learned.noise, learned.healthy, learned.values)
        kept = [
            (phase[~aside[: len(phase)]], values[~aside[: len(phase)]])
            for phases, measured, aside in zip(self.raw, self.measured, learned.aside, strict=True)
            for phase, values in zip(phases, measured, strict=True)
            if not aside[: len(phase)].all()
        ]
        left = [combination.left(one, bands, values) for one, values in kept]
        every = np.concatenate(left)
        mean, deviation = every.mean(axis=0), robust_deviation(every)
        degrees = self.interval_blocks * np.diff(self.layout.edges)
        deviation[:bands] = np.maximum(deviation[:bands], mean[:bands] * np.sqrt(2.0 / degrees))
        low, high = mean - CAP_SPREADS * deviation, mean + CAP_SPREADS * deviation
        averaged = [accumulate(phase, low, high) for phase in left]
        values = [features(phase, self.layout.windows) for phase in averaged]
        centre, spread = self._normal(values, learned)
        statistic = [statistics(value, centre, spread, self.plan)[0] for value in values]
        scales = np.array(
            [[self._scale(statistic, scale, k) for k in range(len(KINDS))] for scale in range(len(SCALES))]
        )
        totals = []
        for phase in statistic:
            scaled = phase / scales
            scaled[unsettled(np.arange(1, len(phase) + 1))] = 0.0
            totals.append(rolling(combine(scaled)))
        tail = fit_tail(np.concatenate(totals), self.intervals, AGREED_SCALE, LEAST_AGREED_SCALE)
        figures = np.concatenate([one for one, _ in kept])[:, -2:]
        made = Calibration(
            block_samples=self.size,
            interval_blocks=self.interval_blocks,
            warmup_blocks=self.warmup_blocks,
            sampling_rate_hz=self.rate,
            interval_s=self.interval_s,
            healthy_s=self.blocks * self.size / self.rate,
            intervals=self.intervals,
            aside_intervals=float(sum(aside.sum() for aside in learned.aside)),
            level_mps2=float(np.exp(np.median(figures[:, 0]))),
            gap_ratio=float(np.exp(np.median(figures[:, 1]))),
            episode_intervals=episode_length(np.concatenate(totals[:: len(self.raw[0])])),
            trust=self.fitted.trust,
            linear_trust=self.fitted.linear_trust,
            head=self.fitted.head,
            prototypes=learned.prototypes,
            healthy=learned.healthy,
            noise=learned.noise,
            quantities=self.names,
            values=learned.values,
            ranges=learned.ranges,
            low=low,
            high=high,
            centre=centre,
            spread=spread,
            kind_scale=scales,
            knee=np.array(tail.knee),
            at_knee=np.array(tail.at_knee),
            scale=np.array(tail.scale),
            sensitivity=np.ones((bands + 1, len(OVER_S))),
        )
        tried = [(*one, mean) for one, mean in zip(kept, averaged, strict=True)]
        return replace(made, sensitivity=sensitivity(made, tried))

    def _normal(self, values: list[Floats], learned: Learned) -> tuple[Float64, Float64]:
        """Healthy mean and spread of every feature on every time scale, (scales, features) each."""
        plan = self.plan
        single = np.concatenate([value[:, 0] for value in values])
        variance = np.var(single, axis=0)
        # Energies are chi-square with these degrees of freedom; the variance of their logarithm is 2 / degrees.
        sizes = np.diff(self.layout.edges)
        degrees = np.zeros(plan.features)
        samples = self.interval_blocks * self.size
        inverse = (self.layout.windows.T**2 / sizes).sum(axis=1)
        degrees[: plan.windows] = self.interval_blocks / inverse
        degrees[plan.starts[1] : plan.starts[2]] = samples
        degrees[plan.starts[2] : plan.starts[3]] = degrees[: plan.windows]
        expected = np.where(degrees > 0, EXCESS_SPREAD * 2.0 / np.maximum(degrees, 1.0), variance)
        variance = (PRIOR_INTERVALS * expected + self.intervals * variance) / (PRIOR_INTERVALS + self.intervals)
        wander = self._drift(learned, variance)
        centre, spread = [], []
        for scale, intervals in enumerate(SCALES):
            settled = [value[intervals - 1 :, scale] for value in values if len(value) >= intervals]
            independent = self.intervals / intervals
            white = variance / intervals
            # The logarithm of an average exceeds the average logarithm; that is measured where data allow.
            mean = single.mean(axis=0) + 0.5 * (variance - white) * (degrees > 0)
            seen = white
            if settled:
                together = np.concatenate(settled)
                seen = np.var(together, axis=0)
                if independent >= 4:
                    mean = together.mean(axis=0)
            mixed = (PRIOR_INTERVALS * white + independent * seen) / (PRIOR_INTERVALS + independent)
            centre.append(mean)
            # The mean is uncertain too: it was learned from this many intervals.
            spread.append(np.sqrt(np.maximum(mixed, white) + variance / self.intervals + wander**2))
        return np.array(centre), np.array(spread)

    def _drift(self, learned: Learned, variance: Float64) -> Float64:
        """How far each feature of a healthy machine wanders: measured, and expected where there is little data."""
        shifts, expected = learned.shifts, self.plan.drift.astype(np.float64)
        count = len(shifts)
        if not count:
            return expected
        bands = self.layout.bands
        raw = np.concatenate([np.exp(shifts[:, :bands]), shifts[:, bands:]], axis=1)
        measured = drift(features(raw, self.layout.windows).astype(np.float64), variance * count / self.intervals)
        # Stretches of time do not show how far the machine is from its explanation between two named conditions. A
        # machine that runs for hours has been there.
        hours_s = self.intervals * self.spacing_s
        unseen = PRIOR_PIECES / (PRIOR_PIECES + min(count, hours_s / PIECE_S))
        least = expected * np.sqrt(unseen) if len(learned.prototypes) > 1 else 0.0
        found: Float64 = np.sqrt((PRIOR_PIECES * expected**2 + count * measured**2) / (PRIOR_PIECES + count))
        return np.maximum(found, least)

    def _scale(self, statistic: list[Floats], scale: int, kind: int) -> float:
        intervals = SCALES[scale]
        settled = [phase[intervals - 1 :, scale, kind] for phase in statistic if len(phase) >= 2 * intervals]
        if not settled:
            settled = [phase[:, 0, kind] for phase in statistic]
        return fit_scale(np.concatenate(settled), self.intervals / intervals, KIND_SCALE, KIND_SCALE)


def robust_deviation(values: Floats) -> Float64:
    """Standard deviation of (n, R) from quantiles: knocks of a healthy machine do not widen it."""
    lower, upper = np.quantile(values, [0.1587, 0.8413], axis=0)
    return np.asarray(upper - lower) / 2.0


def accumulate(raw: Floats, low: Float64, high: Float64) -> Float64:
    """Average over all time scales as the scorer does: (intervals, raw) to (intervals, scales, raw)."""
    plain = raw.astype(np.float64)
    before = np.concatenate([(low + high)[None] / 2.0, plain[:-1]])
    tame = tamed(plain, before, low, high)
    out = [plain]
    for intervals in SCALES[1:]:
        weight = 2.0 / (intervals + 1)
        head = min(len(raw), int(np.ceil(1.0 / weight)))
        mean = np.cumsum(tame[:head], axis=0) / np.arange(1, head + 1)[:, None]
        if len(raw) > head:
            start = ((1.0 - weight) * mean[-1])[None]
            tail, _ = lfilter([weight], [1.0, weight - 1.0], tame[head:], axis=0, zi=start)
            mean = np.concatenate([mean, tail])
        out.append(mean)
    return np.stack(out, axis=1)


def rolling(combined: Floats) -> Floats:
    """The majority of the last intervals, as :func:`agreed`, for each of (n,) consecutive intervals."""
    padded = np.concatenate([np.full(MEMORY - 1, np.nan), combined])
    return agreed(np.lib.stride_tricks.sliding_window_view(padded, MEMORY))
