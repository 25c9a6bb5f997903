"""What is due of all channels that learn, found a few channels at a time: messages and scrapes go in between."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from monitor.runtime.learning.one_channel import ChannelLearning, Phase, turns

AT_A_TIME = 100
"""Channels that are dealt with in one turn of the event loop, one to three milliseconds. Fewer: more turns. More:
messages and scrapes wait longer."""

JOBS = 4
"""Fits that the learner is given at a time, each takes 0.1 to 1 s. Fewer: a thousand channels that are due at once wait
longer, since new ones are given once a second. More: what is gathered waits behind them."""


class Due:
    """What one look at all channels found."""

    def __init__(self, present: Mapping[int, ChannelLearning], most: int) -> None:
        """Find nothing yet.

        Args:
            present: the channels by their numbers; those that leave meanwhile are due no more.
            most: most channels that learned at a time so far: the memory that turns may take follows from it, so that
                the last ones wait no longer than the first.
        """
        self._present, self._most = present, most
        self._taken = self._busy = 0
        self._waiting: list[ChannelLearning] = []
        self._due: list[ChannelLearning] = []

    def add(self, one: ChannelLearning, now_s: float) -> None:
        """Look at a channel at a monotonic instant."""
        self._taken += one.phase in {Phase.TURN, Phase.FITTING}
        self._busy += one.busy
        if one.waits and now_s >= one.until_s:
            self._waiting.append(one)
        if one.due and now_s >= one.until_s:
            self._due.append(one)

    @property
    def turns(self) -> list[ChannelLearning]:
        """The channels that may give blocks for a head now."""
        there = [one for one in self._waiting if one.waits and self._present.get(one.number) is one]
        return there[: max(0, turns(self._most) - self._taken)]

    @property
    def calibrations(self) -> list[ChannelLearning]:
        """The channels of which the learner shall make a calibration now; a first one goes before a renewal."""
        there = [one for one in self._due if one.due and self._present.get(one.number) is one]
        return sorted(there, key=lambda one: one.due_s)[: max(0, JOBS - self._busy)]


async def few_at_a_time(present: Mapping[int, ChannelLearning]) -> AsyncIterator[ChannelLearning]:
    """The channels that are still there when their turn comes; what is yielded may change afterwards."""
    for place, number in enumerate(list(present), 1):
        one = present.get(number)
        if one is not None:
            yield one
        if place % AT_A_TIME == 0:
            await asyncio.sleep(0)
