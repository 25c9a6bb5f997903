"""The trend of a figure in the words of a person: how fast it rises, how sure that is, and when it reaches a mark."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.runtime.history.store import Series
from monitor.runtime.history.trend import Trend, trend


@dataclass(frozen=True, slots=True)
class Window:
    """What a trend is told over."""

    over: str
    """The tier whose cells it takes."""
    length_s: float
    """Seconds before now."""
    unit: str
    """Unit of time of the rate, with its article."""
    unit_s: float
    """Seconds of it."""


WINDOWS = (
    Window("hours", 6 * 3600.0, "an hour", 3600.0),
    Window("days", 3 * 86400.0, "a day", 86400.0),
    Window("weeks", 56 * 86400.0, "a week", 7 * 86400.0),
)
"""A window for each tier. Shorter: noise. Longer: a fault that has begun to grow is averaged with the time before."""

SCORE_MARKS = (1.0, 3.0, 10.0, 30.0)
"""Scores that a person is told about: the limit, and those at which an alarm is captured."""


def over_window(series: Series, name: str, window: Window) -> Trend | None:
    """The trend of one figure of a history over the last part of it; None where too little is known."""
    at_s = series.at_s
    values = np.where(at_s > at_s[-1] - window.length_s, series.mean[name], np.nan)
    return trend(at_s, values)


def told(
    found: Trend, what: str, window: Window, marks: Sequence[float], *, factor: float = 1.0, unit: str = ""
) -> str:
    """A trend as sentences without the last full stop.

    Args:
        found: the trend.
        what: the figure, such as ``score``.
        window: its window.
        marks: values that a person wants to know of, rising.
        factor: by which values are multiplied to be shown.
        unit: what they then are, with a space before it.
    """
    over, scale = span(found.over_s), factor * window.unit_s
    low, high = sorted((abs(found.low * scale), abs(found.high * scale)))
    if not found.known:
        edges = f"{found.low * scale:.2g} to {found.high * scale:.2g}{unit} {window.unit}"
        return f"No trend of the {what} over the last {over}: {edges}, at 95 %"
    verb = "rises" if found.rate > 0 else "falls"
    rate = f"{abs(found.rate) * scale:.2g}{unit} {window.unit} ({low:.2g} to {high:.2g} at 95 %)"
    text = f"The {what} {verb} by {rate} over the last {over}"
    mark = next_mark(found, marks)
    if mark is None or (reached := found.reaches(mark)) is None:
        return text
    when, earliest, latest = map(span, reached)
    times = f"in {when} ({earliest} to {latest}), sooner if it accelerates"
    return f"{text}; at this rate it reaches {mark * factor:g}{unit} {times}"


def next_mark(found: Trend, marks: Sequence[float]) -> float | None:
    """The first of the rising marks that the figure has not reached; None: there is none."""
    return next((mark for mark in marks if mark > max(found.level, found.latest)), None)


def span(seconds: float) -> str:
    """A duration with two digits."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 9.5 * size else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
