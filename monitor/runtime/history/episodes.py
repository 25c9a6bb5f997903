"""Alarms of the past: when each began and ended, and how high the score went; kept over restarts.

An episode is the time during which a channel's state is not ok. It is told from what the boards show of fresh
intervals, so a restart in the middle of an alarm goes on with the same episode.
"""

import contextlib
import json
import logging
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from monitor.atomic_file import write_atomically
from monitor.core.scoring.alarm import State
from monitor.runtime.history.places import Identity

LOG = logging.getLogger(__name__)

FORMAT = 1
FILE_NAME = "alarms.json"

OF_ONE = 50
"""Episodes that are kept of a channel. Fewer: a flickering channel forgets its real alarm. More: a longer list than a
person reads."""

OF_ALL = 20_000
"""Episodes that are kept altogether, 3 MB; the oldest are given up first."""

GROWN = (3.0, 10.0)
"""Scores at which an alarm is captured again: at its beginning the limit is just passed, and nothing is to be seen."""


@dataclass
class Episode:
    """One time in warning or alarm."""

    start_s: float
    """UNIX seconds of its beginning."""
    end_s: float | None = None
    """UNIX seconds of its end; None: it goes on."""
    peak_score: float = 0.0
    """Highest score."""
    peak_at_s: float = 0.0
    """UNIX seconds at which it was."""
    state: str = "warning"
    """The worst state: ``warning`` or ``alarm``."""
    captured: float = field(default=0.0)
    """Score of ``GROWN`` up to which it has been captured."""


class Episodes:
    """The episodes of all channels."""

    def __init__(self, folder: Path) -> None:
        """Read what an earlier run left; a file that cannot be read is set aside."""
        self._path = folder / FILE_NAME
        self._of: dict[Identity, deque[Episode]] = {}
        self.changed = False
        """Whether something has changed since the last save."""
        if self._path.exists():
            try:
                self._of = _read(self._path)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                LOG.warning("alarm history starts empty: file=%s reason=%s", self._path, error)
                with contextlib.suppress(OSError):
                    self._path.replace(self._path.with_name(f"{FILE_NAME}.bad"))

    def of(self, identity: Identity) -> list[Episode]:
        """The episodes of a channel, the latest first."""
        return list(reversed(self._of.get(identity, ())))

    def is_open(self, identity: Identity) -> bool:
        """Whether a channel is in an episode."""
        found = self._of.get(identity)
        return found is not None and len(found) > 0 and found[-1].end_s is None

    def see(
        self, identity: Identity, state: int, score: float, now_s: float, since_s: float, captured: float
    ) -> float | None:
        """Take up an interval of a channel that is in an episode or should be.

        Args:
            identity: the channel.
            state: its alarm state; below 0: it has none.
            score: its score; NaN: it has none.
            now_s: UNIX seconds.
            since_s: UNIX seconds since which it has not been ok; NaN: not known.
            captured: score at which the beginning of its alarm was captured; NaN: it was not.

        Returns:
            The score of ``GROWN`` that it has just passed in alarm, for a capture; None: none.
        """
        found = self._of.setdefault(identity, deque(maxlen=OF_ONE))
        if state <= State.OK:
            if found and found[-1].end_s is None:
                found[-1].end_s = max(now_s, found[-1].start_s)
                self.changed = True
            return None
        if not found or found[-1].end_s is not None:
            found.append(Episode(now_s if math.isnan(since_s) else min(since_s, now_s)))
            self.changed = True
            self._bound()
        episode = found[-1]
        if score > episode.peak_score:
            episode.peak_score, episode.peak_at_s = round(score, 3), now_s
            self.changed = True
        if state != State.ALARM:
            return None
        if episode.state != "alarm":
            episode.state, episode.captured = "alarm", _mark(captured)
            self.changed = True
        passed = _mark(score)
        if passed <= episode.captured:
            return None
        episode.captured = passed
        return passed

    def save(self) -> None:
        """Write the file; raises OSError."""
        lines = [[list(identity), list(map(asdict, found))] for identity, found in self._of.items() if found]
        self.changed = False
        try:
            write_atomically(self._path, json.dumps({"format": FORMAT, "channels": lines}, allow_nan=False).encode())
        except OSError:
            self.changed = True
            raise

    def _bound(self) -> None:
        if sum(map(len, self._of.values())) > OF_ALL:
            oldest = min((one for one in self._of.values() if one), key=lambda one: one[0].start_s)
            oldest.popleft()


def _mark(score: float) -> float:
    """The highest score of ``GROWN`` that a score has passed; 0: none."""
    return max((level for level in GROWN if score >= level), default=0.0)


def _read(path: Path) -> dict[Identity, deque[Episode]]:
    content = json.loads(path.read_bytes())
    if content["format"] != FORMAT:
        raise ValueError(f"it has format {content['format']}, this version reads {FORMAT}")
    found: dict[Identity, deque[Episode]] = {}
    for identity, episodes in content["channels"]:
        whole = (_checked(Episode(**one)) for one in episodes)
        found[tuple(map(str, identity))] = deque(whole, maxlen=OF_ONE)
    return found


def _checked(one: Episode) -> Episode:
    """The episode; raises TypeError or ValueError if a field has another type."""
    numbers: Sequence[float] = (one.start_s, one.peak_score, one.peak_at_s, one.captured, one.end_s or 0.0)
    if not all(isinstance(number, int | float) for number in numbers) or one.state not in {"warning", "alarm"}:
        raise ValueError("an episode has fields of another type")
    return one
