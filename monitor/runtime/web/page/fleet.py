"""The fleet: every channel's latest figures and a few minutes of history, in arrays with one row a channel.

The figures are gathered from the lanes' boards at once for all channels, once a second, whether a browser looks or
not; what a browser gets is made from these arrays, so asking never reaches the inference thread. Refuses to know:
HTTP, browsers, forecasts.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Float64, Floats, Rows
from monitor.core.scoring.alarm import State
from monitor.core.scoring.kinds import KINDS
from monitor.core.scoring.plausibility import REFUSALS
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.web.view import View

FIGURES = ("score", "alarm_state", "gap", "gap_ratio", "gap_whitened", "rms", "peak", "coverage")
"""Figures of an interval, as the boards name them; NaN: there is none."""

HISTORY_SAMPLES = 300
"""Samples of history, one a second. Fewer: a fault's growth does not show. More: memory, and nobody looks at it."""

REASONS = (None, *REFUSALS)
"""Why an interval was refused, by its code."""

CHANNEL_LIMIT = 10_000
"""Most channels on the page. More cost the browser too much to be of use; the metrics hold them all."""


@dataclass(frozen=True)
class Table:
    """The channels at one instant, one row of every array each."""

    channels: tuple[Channel, ...]
    """The channels, in order of their first appearance."""
    figures: dict[str, Float64]
    """Each of :data:`FIGURES`; NaN: there is none. A silent channel has none but the alarm state that it is left in."""
    evidence: dict[str, Float64]
    """What speaks for a fault, by its name, on the scale of the score; NaN without one."""
    band_hz: Float64
    """(n, 2) the band that stands out most; NaN: there is none."""
    refusal: list[str | None]
    """Why the last interval was not scored, None if it was."""
    age_s: Float64
    """Seconds since the last samples."""
    silent: Bool
    """Which channels have been without samples for longer than the configuration allows."""


class Fleet:
    """The table of now, and the history behind it."""

    def __init__(self, channel_limit: int) -> None:
        size = min(channel_limit, CHANNEL_LIMIT)
        self.generation = 0
        """Counts the changes of which channels there are."""
        self.table = _empty_table(())
        self.places: dict[tuple[str, ...], int] = {}
        """Where the channel with these labels stands in the table."""
        self.beyond_limit = 0
        """Channels that are not shown."""
        self._size = size
        self._places: list[tuple[Lane, Rows, Rows]] = []
        self._score: Float32 = np.full((HISTORY_SAMPLES, size), np.nan, np.float32)
        self._ratio: Float32 = np.full((HISTORY_SAMPLES, size), np.nan, np.float32)
        self._alarm: Float32 = np.full((HISTORY_SAMPLES, size), np.nan, np.float32)
        self.samples = 0
        """Samples of history ever taken."""

    def sample(self, view: View) -> Table:
        """Read the boards and take one sample of history."""
        self._place(view)
        channels = self.table.channels
        count = len(channels)
        figures = {name: np.full(count, np.nan) for name in FIGURES}
        evidence = {kind.value: np.full(count, np.nan) for kind in KINDS}
        band = np.full((count, 2), np.nan)
        refusal = np.zeros(count, np.intp)
        for lane, places, rows in self._places:
            seen = lane.board.read((*FIGURES, "evidence", "band", "refusal"), rows)
            for name, values in figures.items():
                values[places] = seen[name]
            for kind, values in zip(KINDS, seen["evidence"].T, strict=True):
                evidence[kind][places] = values
            band[places] = seen["band"]
            refusal[places] = seen["refusal"]
        figures["alarm_state"][figures["alarm_state"] < 0] = np.nan
        rates_hz = np.array([channel.sensor.sampling_rate_hz for channel in channels])
        age_s = view.now_s - np.array([channel.last_sample_s for channel in channels])
        silent = age_s > view.silent_after_s
        in_alarm = figures["alarm_state"] > State.OK
        for name, values in (*figures.items(), *evidence.items()):
            values[silent & ~in_alarm if name == "alarm_state" else silent] = np.nan
        self.table = Table(
            channels,
            figures,
            evidence,
            band * rates_hz[:, None] / 2,
            [REASONS[code] for code in refusal.tolist()],
            age_s,
            silent,
        )
        at = self.samples % HISTORY_SAMPLES
        for history, name in ((self._score, "score"), (self._ratio, "gap_ratio"), (self._alarm, "alarm_state")):
            history[at, :count] = figures[name]
        self.samples += 1
        return self.table

    def history(self, place: int) -> dict[str, Float32]:
        """The history of one channel, oldest first: ``score``, ``gap_ratio`` and ``alarm_state``, each (n,)."""
        order = self._order()
        return {
            "score": self._score[order, place],
            "gap_ratio": self._ratio[order, place],
            "alarm_state": self._alarm[order, place],
        }

    def sparklines(self, points: int, step: int, channels: int) -> Float32:
        """The last scores of the first ``channels`` channels, or gap ratios: (channels, at most ``points``).

        Each point is the largest value of ``step`` consecutive samples; the first of these has a number that is a
        multiple of it, so that a browser can go on counting.
        """
        points = min(points, HISTORY_SAMPLES // step)
        first = max(0, ((self.samples - 1) // step - (points - 1)) * step)
        order = np.arange(first, self.samples) % HISTORY_SAMPLES
        score = self._score[order, :channels]
        values = np.where(np.isnan(score), self._ratio[order, :channels], score)
        if not order.size:
            return values.T
        return np.fmax.reduceat(values, np.arange(0, order.size, step), axis=0).T

    def lane_row(self, place: int) -> tuple[Lane, int]:
        """The lane of a channel and its row there."""
        for lane, places, rows in self._places:
            found = np.flatnonzero(places == place)
            if found.size:
                return lane, int(rows[found[0]])
        raise KeyError(place)

    def _order(self) -> Rows:
        """Positions of the history's samples, oldest first."""
        return np.arange(max(0, self.samples - HISTORY_SAMPLES), self.samples) % HISTORY_SAMPLES

    def _place(self, view: View) -> None:
        """Follow the channels as they come and go; history moves with its channel."""
        everyone = list(view.ingest.channels.values())
        channels = everyone[: self._size]
        self.beyond_limit = len(everyone) - len(channels)
        before = self.table.channels
        lanes_kept = all(view.lanes.get(lane.name) is lane for lane, _, _ in self._places)
        if lanes_kept and len(before) == len(channels) and all(a is b for a, b in zip(before, channels, strict=True)):
            return
        old_places = {id(channel): place for place, channel in enumerate(before)}
        came_from = np.array([old_places.get(id(channel), -1) for channel in channels], np.intp)
        new = came_from < 0
        count = len(channels)
        for history in (self._score, self._ratio, self._alarm):
            moved = history[:, came_from]
            moved[:, new] = np.nan
            history[:, count:] = np.nan
            history[:, :count] = moved
        self._places = []
        for name, lane in view.lanes.items():
            own = [i for i, channel in enumerate(channels) if channel.model == name]
            places = np.array(sorted(own, key=lambda i: channels[i].row), np.intp)
            rows = np.array([channels[i].row for i in places], np.intp)
            self._places.append((lane, places, rows))
        self.generation += 1
        self.places = {channel.labels: place for place, channel in enumerate(channels)}
        self.table = _empty_table(tuple(channels))


def _empty_table(channels: tuple[Channel, ...]) -> Table:
    return Table(channels, {}, {}, np.zeros((0, 2)), [], np.zeros(0), np.zeros(0, np.bool_))


def significant(values: Floats, digits: int = 3) -> list[float | None]:
    """Values rounded to so many significant digits, None for what is not finite."""
    numbers = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = np.floor(np.log10(np.abs(numbers)))
        scale = 10.0 ** (digits - 1 - np.where(np.isfinite(exponent), exponent, 0.0))
        rounded = np.round(numbers * scale) / scale
    finite = np.isfinite(rounded)
    if finite.all():
        return list(rounded.tolist())
    return [value if known else None for value, known in zip(rounded.tolist(), finite.tolist(), strict=True)]
