"""The fleet: the latest figures of every channel and a few minutes of history, in arrays with a row for each channel.

The figures are read from the lanes' boards once a second for all channels, even if no browser is connected. All answers
to browsers are made from these arrays, so their number does not affect the workers.
"""

import numpy as np

from monitor.core.arrays import Float32, Rows
from monitor.runtime.channel_rows import ChannelRows
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.web.table import EMPTY, ChannelTable, read_table
from monitor.runtime.web.view import View

HISTORY_SAMPLES = 300
"""Samples of history, one per second. Fewer: a fault's growth does not show. More: memory for little use."""

CHANNEL_LIMIT = 10_000
"""Most channels on the page. More: browsers become too slow. The metrics contain all channels."""


class Fleet:
    """The present table of channels, and their history."""

    def __init__(self, channel_limit: int = CHANNEL_LIMIT) -> None:
        """Make a fleet without channels; ``channel_limit``: most channels that it shows."""
        self.generation = 0
        """Number of changes of the list of channels."""
        self.table = EMPTY
        self.places: dict[tuple[str, ...], int] = {}
        """Index of each channel in the table, by its labels."""
        self.beyond_limit = 0
        """Number of channels that are not shown because of the limit."""
        self._limit = channel_limit
        self._places = ChannelRows((), {})
        self._score: Float32 = np.zeros((HISTORY_SAMPLES, 0), np.float32)
        self._ratio, self._alarm = self._score, self._score
        self.samples = 0
        """Number of samples of history taken so far."""

    def sample(self, view: View) -> ChannelTable:
        """Read the boards and take one sample of history."""
        self._place(view)
        self.table = read_table(view, self._places, ("weights",))
        at = self.samples % HISTORY_SAMPLES
        for history, name in ((self._score, "score"), (self._ratio, "gap_ratio"), (self._alarm, "alarm_state")):
            history[at] = self.table.figures[name]
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
        """The last scores, or else gap ratios, of the first ``channels`` channels: (channels, at most ``points``).

        Each point is the largest value of ``step`` consecutive samples. The number of its first sample is a multiple of
        ``step``, so that a browser can continue the points.
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
        """The lane of the channel at ``place``, and its row there."""
        return self._places.lane_row(place)

    def _order(self) -> Rows:
        """Positions of the history's samples, oldest first."""
        return np.arange(max(0, self.samples - HISTORY_SAMPLES), self.samples) % HISTORY_SAMPLES

    def _place(self, view: View) -> None:
        """Update the list of channels; history moves with its channel."""
        everyone = tuple(view.ingest.channels.values())
        channels = everyone[: self._limit]
        self.beyond_limit = len(everyone) - len(channels)
        if self._places.hold(channels, view.lanes):
            return
        old_places = {id(channel): place for place, channel in enumerate(self._places.channels)}
        came_from = np.array([old_places.get(id(channel), -1) for channel in channels], np.intp)
        self._score, self._ratio, self._alarm = (
            _moved(history, came_from) for history in (self._score, self._ratio, self._alarm)
        )
        self._places = ChannelRows(channels, view.lanes)
        self.generation += 1
        self.places = {channel.labels: place for place, channel in enumerate(channels)}


def _moved(history: Float32, came_from: Rows) -> Float32:
    """The history of channels, each from its column in ``history``; below 0: the channel is new."""
    moved: Float32 = np.full((len(history), came_from.size), np.nan, np.float32)
    known = came_from >= 0
    moved[:, known] = history[:, came_from[known]]
    return moved
