"""Logs every change of what a channel does, in the word of the metric, the page and the API.

A change is a line of its own. Where many channels change at once, such as when a broker is lost, those that change
alike share a line. Lines are also limited in time: what changes meanwhile waits, and a channel that changed several
times has one line that says so. So one broken sensor, or a thousand, cannot fill the disk, and no change goes untold.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from monitor.runtime.channel_rows import ChannelRows
from monitor.runtime.intake.channel import ChannelState
from monitor.runtime.web.table import read_states
from monitor.runtime.web.view import View

LOG = logging.getLogger(__name__)

PERIOD_S = 1.0
"""Seconds between two looks. Shorter: more work. Longer: a state that lasts for less is not seen."""

LINES_A_SECOND = 0.2
"""Lines that may be written in the long run. Lower: changes wait for longer, together. Higher: a channel that changes
all the time fills the log; this is 17,000 lines a day."""

LINES_AT_ONCE = 20.0
"""Lines that may be written at once after a quiet time. Lower: changes of few channels share lines. Higher: a log in
which one event takes pages."""

FEW = 10
"""Most channels that get a line each."""

NAMED = 3
"""Channels that are named in a line about many."""

NEW = "new"
"""What is written as the state before the first one."""


@dataclass(slots=True)
class _Change:
    """What was not told yet of one channel."""

    name: str
    before: str
    now: ChannelState
    reason: str | None
    changes: int = 1

    @property
    def kind(self) -> tuple[str, str, str]:
        """What channels that share a line have in common."""
        return self.before, self.now, self.reason or ""


class StateLog:
    """Watches the states of all channels."""

    def __init__(self, view: Callable[[], View]) -> None:
        """Watch channels.

        Args:
            view: returns the channels and their lanes.
        """
        self._view = view
        self._places = ChannelRows((), {})
        self._states: dict[tuple[str, ...], tuple[ChannelState, str | None]] = {}
        self._untold: dict[tuple[str, ...], _Change] = {}
        self._lines = LINES_AT_ONCE
        self._looked_s: float | None = None

    async def run(self) -> None:
        """Look once a period, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(PERIOD_S)

    def look(self) -> None:
        """Look at all channels once, and write what may be written."""
        view = self._view()
        channels = tuple(view.ingest.channels.values())
        if not self._places.hold(channels, view.lanes):
            self._places = ChannelRows(channels, view.lanes)
            present = {channel.labels for channel in channels}
            self._states = {labels: state for labels, state in self._states.items() if labels in present}
        states = read_states(view, self._places)
        for channel, (state, reason) in zip(channels, zip(*states, strict=True), strict=True):
            before = self._states.get(channel.labels)
            if before == (state, reason):
                continue
            self._states[channel.labels] = state, reason
            untold = self._untold.get(channel.labels)
            if untold is None:
                was = NEW if before is None else before[0].value
                self._untold[channel.labels] = _Change(channel.name, was, state, reason)
            else:
                untold.now, untold.reason, untold.changes = state, reason, untold.changes + 1
        passed_s = 0.0 if self._looked_s is None else view.now_s - self._looked_s
        self._looked_s = view.now_s
        self._lines = min(LINES_AT_ONCE, self._lines + LINES_A_SECOND * passed_s)
        if self._untold and self._lines >= 1:
            self._tell()

    def _tell(self) -> None:
        untold, self._untold = list(self._untold.values()), {}
        if len(untold) <= min(FEW, self._lines):
            self._lines -= len(untold)
            for one in untold:
                LOG.info("state: channel=%s %s", one.name, _words(one, one.changes))
            return
        alike: dict[tuple[str, str, str], list[_Change]] = {}
        for one in untold:
            alike.setdefault(one.kind, []).append(one)
        self._lines -= len(alike)
        for some in alike.values():
            names = ",".join(one.name for one in some[:NAMED]) + (",..." if len(some) > NAMED else "")
            LOG.info("state: channels=%d %s of=%s", len(some), _words(some[0], sum(one.changes for one in some)), names)


def _words(one: _Change, changes: int) -> str:
    reason = "" if one.reason is None else f" reason={one.reason}"
    return f"state={one.now} before={one.before}{reason} changes={changes}"
