"""The channels that viewers watch: a new picture of each several times a second, made once for all its viewers.

Pictures are made one after the other on one thread, which pauses nine times as long as it works. So it uses at most a
tenth of a core; with many watched channels, pictures are less frequent.
"""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from monitor.core.arrays import Float32
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.web.page.documents import update_document
from monitor.runtime.web.page.fleet import Fleet
from monitor.runtime.web.page.picture import blocks_needed, make_picture, picture_document
from monitor.runtime.web.page.stream import Feed, event

PERIOD_S = 0.33
"""Shortest time between two pictures of a channel. Shorter: a phone draws all the time. Longer: it does not look
live."""

WORK_SHARE = 0.1
"""Largest share of one core that pictures may use. Lower: few channels are fluent. Higher: less CPU time for
scoring."""

Labels = tuple[str, ...]


@dataclass
class Watch:
    """One watched channel."""

    feed: Feed = field(default_factory=Feed)
    """Its messages."""
    viewers: int = 0
    """Number of viewers."""
    end_sample: int = -1
    """Stream index of the latest picture's end."""
    fleet_samples: int = -1
    """Number of history samples at the last message."""
    picture: dict[str, Any] | None = None
    """The latest picture."""


class Watches:
    """All watched channels."""

    def __init__(self, fleet: Fleet, errors: InternalErrors) -> None:
        """Watch channels of a fleet; a picture that fails is counted in ``errors``."""
        self._fleet = fleet
        self._errors = errors
        self._watches: dict[Labels, Watch] = {}
        self._anyone = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "page")

    async def messages(self, labels: Labels, introduction: dict[str, Any]) -> AsyncGenerator[bytes]:
        """The messages for one viewer of a channel: its introduction and history, then pictures and figures."""
        watch = self._watches.setdefault(labels, Watch())
        watch.viewers += 1
        self._anyone.set()
        try:
            yield event("channel", introduction)
            version = -1 if watch.feed.message else 0
            while True:
                version = await watch.feed.newer(version)
                yield watch.feed.message
        finally:
            watch.viewers -= 1
            if not watch.viewers:
                del self._watches[labels]
            if not self._watches:
                self._anyone.clear()

    @property
    def watched(self) -> int:
        """Number of watched channels."""
        return len(self._watches)

    def close(self) -> None:
        """Stop the thread after its present picture."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def round(self) -> float:
        """Make the pictures that are due; returns the seconds it took."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for labels, watch in list(self._watches.items()):
            with self._errors.contained(Where.TASK, f"message about {'/'.join(labels)}"):
                await self._update(labels, watch)
        return loop.time() - began_s

    async def wait_for_viewers(self) -> None:
        """Wait until there is a viewer."""
        await self._anyone.wait()

    async def _update(self, labels: Labels, watch: Watch) -> None:
        place = self._fleet.places.get(labels)
        if place is None:
            watch.feed.publish(event("gone", {}))
            return
        channel = self._fleet.table.channels[place]
        lane, row = self._fleet.lane_row(place)
        news = self._fleet.samples != watch.fleet_samples
        watch.fleet_samples = self._fleet.samples
        if lane.viewer is not None:
            start, blocks = lane.rings.recent_blocks(row, blocks_needed(lane.shape.window_blocks))
            if start + blocks.size != watch.end_sample:
                news = True
                watch.end_sample = start + blocks.size
                loop = asyncio.get_running_loop()
                with self._errors.contained(Where.TASK, f"picture of {'/'.join(labels)}"):
                    watch.picture = await loop.run_in_executor(self._thread, _picture, lane, start, blocks, channel)
                # Meanwhile the channels may have changed.
                place = self._fleet.places.get(labels, -1)
        if news and place >= 0:
            watch.feed.publish(event("update", update_document(self._fleet, place) | {"picture": watch.picture}))


def _picture(lane: Lane, start_sample: int, blocks: Float32, channel: Channel) -> dict[str, Any] | None:
    """On the page's thread: the document of a channel's picture; None if there is none."""
    if lane.viewer is None:
        return None
    head = None if channel.calibration is None else channel.calibration.head
    picture = make_picture(lane.viewer(), lane.shape.mode, start_sample, blocks, lane.shape.level_blocks, head)
    return picture_document(picture, channel.sensor.sampling_rate_hz) if picture else None
