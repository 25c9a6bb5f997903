"""Learns the operating conditions of a machine from its healthy intervals, and how far it wanders from them.

Healthy intervals are averaged over short spans. The prototypes are spans that lie farthest from one another. To find
out how far a healthy machine wanders from its own explanation, whole stretches of time are left out, and what the spans
of the others do not explain of them is measured, piece by piece.

A stretch that is left out may hold spans that no other stretch explains. They may have been a fault, and as prototypes
they would excuse it for ever. They are set aside: neither a prototype nor healthy evidence. Only what recurs counts.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float64, Int64
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES, Combination, varies

SPAN_INTERVALS = 8
"""Intervals of a span. Fewer: noise makes prototypes. More: changes of condition within a span make false ones."""

STRETCHES = 8
"""Most stretches of time that a recording is divided into. Fewer: a stretch holds more than one odd event. More: too
little is left out of slow changes."""

PIECE_S = 600.0
"""Shortest length of a piece, in seconds, where there are more pieces than stretches. Shorter: an hour stands for all
that a machine will do. Longer: days of data do not replace what is expected of it."""

MOST_PIECES = 64
"""Most pieces of a recording; in a longer one they are longer. More: more work for nothing. Fewer: what is expected of
a machine outweighs what was measured."""

FEWEST_STRETCHES = 4
"""Fewest stretches for measuring how far a machine wanders."""

NEAR = 8.0
"""Mean squared distance, in deviations of a span, within which another prototype adds nothing. Lower: noise makes
prototypes of one steady condition. Higher: conditions are taken for one."""

NEAR_WHERE_MEASURED = 5.0
"""The same where a measured quantity varies, and only the prototypes next to its value explain an interval. Lower: as
above. Higher: too few explain how the machine wanders at one speed (at 8, a fault was found 2 dB later)."""

ODD = 9.0
"""Mean squared distance between a span and its explanation from other stretches, beyond which it is set aside."""

MOST_ASIDE = 0.2
"""Largest share of the spans that may be set aside; with more, the machine was never steady, and all are learned."""

STEP = 0.25
"""Difference of a measured quantity, as a share of its range, that makes another prototype. Lower: prototypes run out.
Higher: what does not grow in proportion to a speed is explained worse."""

SHIFT = 0.05
"""Standard deviation, in natural logarithms, by which a span may differ from another of the same condition."""

MOVING = 0.9
"""Distance of a stretch from what the stretches before it explain, in deviations of a span, from which it is new.
Lower: steady machines count as moving (0.8 on a rig that warms up). Higher: faults that grow while a machine is learned
are missed (at the end of a linear growth, 1.0 to 1.6 for a bearing fault of the simulator)."""

MOVING_STRETCHES = 2
"""Last stretches that must all be new. Fewer: one odd event counts as moving. More: a fault that began in the last
quarter of the time is learned as a condition, since its stretches explain one another."""

MEDIAN_SQUARE = 0.455
"""Median of a squared standard normal variable."""


@dataclass(frozen=True)
class Learned:
    """The conditions in some healthy recordings."""

    prototypes: Float64
    """(P, R) logarithms of raw features."""
    healthy: Float64
    """(P, R) what is healthy at each, so that what is left of the healthy intervals is 0 in the mean everywhere."""
    noise: Float64
    """(R,) standard deviation of an interval about its condition, with :data:`SHIFT`."""
    aside: list[Bool]
    """(intervals,) of each recording: True where an interval is set aside."""
    values: Float64
    """(P, C) measured values of the prototypes."""
    ranges: Float64
    """(C, 2) lowest and highest measured value of each quantity."""
    shifts: Float64
    """(pieces, R) mean of each piece from what other stretches explain of it; none if there are too few stretches."""


def learn(
    recordings: list[Float64], measured: list[Float64] | None = None, *, interval_s: float | None = None
) -> Learned:
    """Find prototypes, and what is odd.

    Args:
        recordings: logarithms of the raw features of consecutive intervals, (intervals, R), of each recording.
        measured: (intervals, C) values of the measured quantities of each, NaN where not known, each known at least
            once; None: there are none.
        interval_s: seconds from one interval to the next; None: pieces are stretches.

    Returns:
        What was learned; one prototype, the mean, where there are too few spans to compare.
    """
    every = np.concatenate(recordings)
    measured = [np.zeros((len(one), 0)) for one in recordings] if measured is None else measured
    told = np.concatenate(measured)
    deviation, noise, of_span = _deviations(recordings)
    spans, stretch, piece, alone = _spans(recordings, interval_s)
    span_values = _span_values(measured)
    nothing = [np.zeros(len(one), np.bool_) for one in recordings]
    if len(recordings) == 1 and len(spans) < FEWEST_STRETCHES:
        mean = every.mean(axis=0)[None]
        middle = _mean(told)[None]
        return Learned(mean, mean, noise, nothing, middle, _ranges(told), every[:0])
    left = np.zeros_like(spans)
    for number in range(stretch.max() + 1):
        out = stretch == number
        if not out.all():
            left[out] = _unexplained(spans, span_values, out, ~out, of_span, noise)
    # A recording with one stretch is confirmed by whoever named it; nothing else can be compared with it.
    compared = ~alone[stretch]
    shifts, allowed = every[:0], of_span**2 + SHIFT**2
    if (~alone).sum() >= FEWEST_STRETCHES:
        shifts = np.stack([left[piece == number].mean(axis=0) for number in np.unique(piece[compared])])
        allowed = of_span**2 + drift(shifts, deviation**2 / SPAN_INTERVALS * len(shifts) / len(spans)) ** 2
    odd = (np.minimum(left**2 / allowed, 2500.0).mean(axis=1) > ODD) & compared
    if odd.mean() > MOST_ASIDE:
        odd[:] = False
    aside = _of_intervals(_neighbours(odd), recordings)
    prototypes, values = _prototypes(spans[~odd], span_values[~odd], of_span, noise)
    used = ~np.concatenate(aside)
    kept = every[used]
    ranges = _ranges(told[used])
    weights = Combination.of(prototypes, noise, values=values).weights(kept, told[used])
    square = weights.T @ weights + SPAN_INTERVALS * np.eye(len(prototypes))
    healthy = prototypes + np.linalg.solve(square, weights.T @ (kept - weights @ prototypes))
    return Learned(prototypes, healthy, noise, aside, values, np.where(np.isnan(ranges), _ranges(told), ranges), shifts)


def novelty(logs: Float64, measured: Float64, aside: Bool) -> Float64:
    """How new each stretch of time was when it came: the curve that tells a machine that keeps moving away.

    What was set aside explains nothing, or a fault that grows towards an odd event would look explained. What is odd in
    the last stretches, which :func:`keeps_moving` looks at, stays.

    Args:
        logs: (intervals, R) logarithms of the raw features of consecutive intervals.
        measured: (intervals, C) measured values, NaN where not known, each known at least once.
        aside: (intervals,) True where an interval was set aside.

    Returns:
        (stretches - 1,) for each stretch but the first its distance from what the stretches before it explain, the root
        of the mean square over the features, in deviations of a span; empty with fewer than :data:`FEWEST_STRETCHES`.
    """
    used = ~aside
    used[len(logs) - MOVING_STRETCHES * len(logs) // STRETCHES :] = True
    logs, measured = logs[used], measured[used]
    _, noise, of_span = _deviations([logs])
    spans, stretch, _, _ = _spans([logs], None)
    values = _span_values([measured])
    stretches = stretch.max() + 1
    if stretches < FEWEST_STRETCHES:
        return np.empty(0)
    found = []
    for number in range(1, stretches):
        before = stretch < number
        known = np.isfinite(values[before]).any(axis=0)
        left = _unexplained(spans, values[:, known], stretch == number, before, of_span, noise)
        found.append(np.sqrt(np.mean((left.mean(axis=0) / of_span) ** 2)))
    return np.array(found)


def keeps_moving(curve: Float64) -> bool:
    """Whether a machine kept moving away while it was learned: a fault that grows, or running-in.

    Args:
        curve: from :func:`novelty`.
    """
    return curve.size >= MOVING_STRETCHES and bool((curve[-MOVING_STRETCHES:] >= MOVING).all())


def drift(shifts: Float64, sampled: Float64) -> Float64:
    """The standard deviation of shifts that is not due to sampling; one odd stretch does not matter.

    Args:
        shifts: (stretches, ...) shift of each stretch.
        sampled: (...) variance of a shift if the machine did not wander.

    Returns:
        (...) at least 0.
    """
    found: Float64 = np.sqrt(np.maximum(np.median(shifts**2, axis=0) / MEDIAN_SQUARE - sampled, 0.0))
    return found


def _deviations(recordings: list[Float64]) -> tuple[Float64, Float64, Float64]:
    """Standard deviations, (R,) each: of an interval in its span; of an interval and of a span about a condition."""
    deviation = np.sqrt(np.concatenate([(one - _smoothed(one)) ** 2 for one in recordings]).mean(axis=0)) + 1e-6
    return deviation, np.sqrt(deviation**2 + SHIFT**2), np.sqrt(deviation**2 / SPAN_INTERVALS + SHIFT**2)


def _spans(recordings: list[Float64], interval_s: float | None) -> tuple[Float64, Int64, Int64, Bool]:
    """Means over spans, (spans, R); stretch and piece of each; for each stretch whether its recording has no other."""
    means, stretch, piece = [], [], []
    alone: list[bool] = []
    pieces = 0
    for one in recordings:
        spans = _in_spans(one)
        count = len(spans)
        means.append(spans.mean(axis=1))
        parts = max(1, min(STRETCHES, count // 2))
        finer = max(parts, min(MOST_PIECES, count // 2, int(len(one) * (interval_s or 0.0) / PIECE_S)))
        stretch.append(len(alone) + np.arange(count) * parts // count)
        piece.append(pieces + np.arange(count) * finer // count)
        alone += [parts == 1] * parts
        pieces += finer
    return np.concatenate(means), np.concatenate(stretch), np.concatenate(piece), np.array(alone)


def _span_length(intervals: int) -> int:
    return min(SPAN_INTERVALS, intervals // 4) if intervals >= 4 * FEWEST_STRETCHES else max(1, intervals)


def _in_spans(values: Float64) -> Float64:
    """Consecutive whole spans of a recording, (intervals, n) to (spans, span, n)."""
    length = _span_length(len(values))
    count = len(values) // length
    return values[: count * length].reshape(count, length, values.shape[1])


def _neighbours(odd: Bool) -> Bool:
    """The odd spans, and those beside them, which may hold a part of what is odd."""
    found = odd.copy()
    found[1:] |= odd[:-1]
    found[:-1] |= odd[1:]
    return found


def _of_intervals(spans: Bool, recordings: list[Float64]) -> list[Bool]:
    """The same for the intervals of each recording."""
    found, first = [], 0
    for one in recordings:
        length = _span_length(len(one))
        count = len(one) // length
        flags = np.repeat(spans[first : first + count], length)
        found.append(np.concatenate([flags, np.full(len(one) - flags.size, flags[-1])]))
        first += count
    return found


def _unexplained(
    spans: Float64, values: Float64, some: Bool, others: Bool, deviation: Float64, noise: Float64
) -> Float64:
    """What is left of some of the spans when others explain them, (some, R)."""
    prototypes, at = _prototypes(spans[others], values[others], deviation, noise)
    expected = Combination.of(prototypes, noise, values=at).expected(spans[some], values[some])
    return np.asarray(spans[some] - expected)


def _prototypes(spans: Float64, values: Float64, deviation: Float64, noise: Float64) -> tuple[Float64, Float64]:
    """Prototypes (P, R) and their measured values (P, C); one, the mean, where nothing differs.

    A prototype without a value gets the one that the others explain of it; a quantity without any value is 0.
    """
    chosen = _farthest(spans, values, deviation)
    if len(chosen) == 1:
        return np.asarray(spans.mean(axis=0)[None]), np.nan_to_num(_mean(values)[None])
    prototypes, found = spans[chosen], values[chosen]
    for one in found.T:
        told = np.isfinite(one)
        if told.any():
            one[~told] = Combination.of(prototypes[told], noise).weights(prototypes[~told]) @ one[told]
    return prototypes, np.nan_to_num(found)


def _farthest(spans: Float64, values: Float64, deviation: Float64) -> list[int]:
    """The spans with the smallest and largest values, then each span that is farthest from those so far.

    Without values it begins with the span that is farthest from the mean.
    """
    low, high = _ranges(values).T
    differs = varies(low, high)
    near = NEAR_WHERE_MEASURED if differs.any() else NEAR
    scaled = spans / deviation
    on_scale = (values[:, differs] - low[differs]) / (high - low)[differs]

    def distance_to(number: int) -> Float64:
        apart = np.nan_to_num((on_scale - on_scale[number]) ** 2).sum(axis=1)
        found: Float64 = ((scaled - scaled[number]) ** 2).mean(axis=1) + near / STEP**2 * apart
        return found

    chosen = [int(each) for one in on_scale.T for each in (np.nanargmin(one), np.nanargmax(one))]
    chosen = list(dict.fromkeys(chosen)) or [int(((scaled - scaled.mean(axis=0)) ** 2).sum(axis=1).argmax())]
    distance = np.min([distance_to(number) for number in chosen], axis=0)
    while len(chosen) < MOST_PROTOTYPES and distance.max() > near:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, distance_to(chosen[-1]))
    return chosen


def _span_values(measured: list[Float64]) -> Float64:
    """Mean of the known values of each span, (spans, C)."""
    return np.concatenate([_mean(_in_spans(one).swapaxes(0, 1)) for one in measured])


def _mean(values: Float64) -> Float64:
    """Mean over the first axis of the values that are known; NaN where none is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        found: Float64 = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
    return found


def _ranges(values: Float64) -> Float64:
    """Lowest and highest value of each quantity, (n, C) to (C, 2); NaN where none is known."""
    return np.stack([np.fmin.reduce(values), np.fmax.reduce(values)], axis=1)


def _smoothed(values: Float64) -> Float64:
    """Running means over a span, (intervals, R)."""
    length = min(SPAN_INTERVALS, len(values))
    before = length // 2
    padded = np.concatenate([values[:1].repeat(before, 0), values, values[-1:].repeat(length - 1 - before, 0)])
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), padded]), axis=0)
    return np.asarray((sums[length:] - sums[:-length]) / length)
