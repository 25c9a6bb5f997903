"""The alarm state of each channel: ok, warning or alarm, with hysteresis.

An interval that scores 1 or more raises an alarm; the score itself already needs three of five intervals to agree. The
alarm ends when the score has stayed well below 1 for a while, so a score that hovers at the limit is one episode, not
many. An interval without a score changes nothing: an alarm does not end because the signal is missing.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from monitor.core.arrays import Float32, Int64, Rows
from monitor.core.scoring.evidence.combine import EPISODE_GAP


class State(IntEnum):
    """Alarm state; the values of the metric ``vibration_alarm_state``."""

    OK = 0
    """Nothing to report."""
    WARNING = 1
    """The score is near the limit."""
    ALARM = 2
    """The score reached the limit."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """The rules by which alarm states change."""

    warning: float = 0.7
    """Score at and above which the state is a warning."""
    release: float = 0.8
    """An alarm or a warning ends below this part of its limit. Higher: states flicker. Lower: they last longer."""
    quiet_intervals: int = EPISODE_GAP
    """Consecutive intervals below the release threshold that end an alarm or a warning."""
    minimum_intervals: int = EPISODE_GAP
    """Shortest duration of an alarm, in intervals."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Channels whose state changed."""

    rows: Rows
    """(n,) channels."""
    before: Int64
    """(n,) state before."""
    after: Int64
    """(n,) state now."""
    score: Float32
    """(n,) score of the interval that changed it; NaN: no interval did."""


class Alarm:
    """The alarm states of a fixed number of channels."""

    def __init__(self, channels: int, rule: AlarmRule | None = None) -> None:
        self.rule = rule or AlarmRule()
        self._state: Int64 = np.zeros(channels, np.int64)
        self._quiet: Int64 = np.zeros(channels, np.int64)
        self._age: Int64 = np.zeros(channels, np.int64)

    def state(self, rows: Rows) -> Int64:
        """The states of ``rows``, values of :class:`State`."""
        return self._state[rows]

    def reset(self, rows: Rows) -> None:
        """Set ``rows`` to ok."""
        for array in (self._state, self._quiet, self._age):
            array[rows] = 0

    def export(self, rows: Rows) -> Int64:
        """The whole state of ``rows``, (n, 3), to be stored for a restart."""
        return np.stack([self._state[rows], self._quiet[rows], self._age[rows]], axis=1)

    def restore(self, rows: Rows, exported: Int64) -> None:
        """Restore ``rows`` from the result of :meth:`export`, (n, 3)."""
        self._state[rows], self._quiet[rows], self._age[rows] = exported.T

    def update(self, rows: Rows, score: Float32) -> Changes:
        """Update the distinct ``rows`` with the score of one interval each; NaN leaves a channel unchanged."""
        rule = self.rule
        known = np.isfinite(score)
        rows, score = rows[known], score[known]
        before = self._state[rows]
        bound = np.where(before == State.ALARM, rule.release, rule.release * rule.warning)
        quiet = np.where(score < bound, self._quiet[rows] + 1, 0)
        age = self._age[rows] + 1
        over = (quiet >= rule.quiet_intervals) & ((before != State.ALARM) | (age >= rule.minimum_intervals))
        calmer = np.where(score >= rule.warning, np.int64(State.WARNING), np.int64(State.OK))
        after = np.where(score >= 1.0, np.int64(State.ALARM), np.where(over, calmer, np.maximum(before, calmer)))
        changed = after != before
        self._quiet[rows] = np.where(changed, 0, quiet)
        self._age[rows] = np.where(changed, 0, age)
        self._state[rows] = after
        return Changes(rows[changed], before[changed], after[changed], score[changed])
