"""The daemon's history: reads the boards once a second, keeps what they show, and says what a fault has grown to.

The event loop only lists the channels; boards are read, cells are written and requests are answered on threads. An
interval counts once: a figure that stays on a board because nothing came is not a figure of later minutes. Without a
``state_dir``, or where its folder cannot be written, there is no history, and the daemon goes on.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32, Float64, Rows
from monitor.core.scoring.alarm import State
from monitor.runtime.channel_rows import ChannelRows
from monitor.runtime.history.cells import QUANTITIES
from monitor.runtime.history.episodes import Episode, Episodes
from monitor.runtime.history.healthy import CALM, SAMPLES, Healthy, HealthyPictures
from monitor.runtime.history.outlook import SCORE_MARKS, WINDOWS, over_window, told
from monitor.runtime.history.places import Identity
from monitor.runtime.history.store import Series, Store
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.log.logs import RepeatedLog

LOG = logging.getLogger(__name__)

PERIOD_S = 1.0
"""Seconds between two looks at the boards. Shorter: work for nothing, since an interval takes a second. Longer: figures
of intervals in between are missed."""

SAVE_S = 30.0
"""Seconds between two saves of alarms that changed. Shorter: more disk writes. Longer: a kill loses more of a peak."""

PICTURES = 8
"""Most healthy stretches taken in one look: 0.4 ms of the event loop. More: messages wait. Fewer: a thousand channels
that start together wait for longer than two minutes."""

OUTLOOK_S = 60.0
"""Seconds between two looks at where scores go. Shorter: the cells of a minute have not changed. Longer: the text of an
alarm has an old trend."""

OUTLOOKS = 32
"""Most channels whose outlook is made at once, the highest scores first: 0.1 s of a thread. Fewer: alarms of a whole
plant have none. More: the thread is busy for longer."""

FOLDER = "history"


@dataclass(frozen=True, slots=True)
class Grown:
    """A channel in alarm whose score has passed a further mark."""

    channel: Channel
    score: float
    """The mark."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """The channels of one look."""

    rows: ChannelRows
    label_names: tuple[str, ...]
    identities: list[Identity]
    places: Rows
    seen_s: Float64
    """(channels,) instant of the interval that was taken last."""


class HistoryDesk:
    """Keeps and answers the history of the running daemon's channels."""

    def __init__(
        self,
        state_dir: Path | None,
        channel_limit: int,
        channels: Callable[[], Iterable[Channel]],
        lanes: Callable[[], Mapping[str, Lane]],
        label_names: Callable[[], tuple[str, ...]],
        wall_s: Callable[[], float],
        errors: InternalErrors,
        grown: Callable[[Grown], None] = lambda _: None,
    ) -> None:
        """Open what earlier runs have kept.

        Args:
            state_dir: the state directory; None: nothing is kept.
            channel_limit: most channels.
            channels: returns the present channels.
            lanes: returns the lanes by model name.
            label_names: returns the names of the channels' labels.
            wall_s: returns UNIX seconds.
            errors: counts unexpected errors.
            grown: called on the event loop when a score in alarm has grown.
        """
        self._channels = channels
        self._lanes = lanes
        self._label_names = label_names
        self._wall_s = wall_s
        self._errors = errors
        self._grown = grown
        self._log = RepeatedLog(LOG, time.monotonic)
        self._placed: _Placed | None = None
        self._due_s: dict[tuple[int, str], float] = {}
        self._lock = threading.Lock()
        self._outlooks: dict[Identity, str] = {}
        self._scores: Float32 = np.zeros(0, np.float32)
        self.missing = "history needs state_dir in the configuration" if state_dir is None else ""
        """Why there is no history; empty: there is."""
        if state_dir is not None:
            try:
                self._store = Store(state_dir / FOLDER, channel_limit)
                self._episodes = Episodes(state_dir / FOLDER)
                self._healthy = HealthyPictures(state_dir / FOLDER)
            except OSError as error:
                self.missing = f"no history is kept: folder={state_dir / FOLDER} reason={error.strerror or error}"
                LOG.warning(self.missing)

    async def run(self) -> None:
        """Keep the history until cancelled."""
        if self.missing:
            await asyncio.Event().wait()  # a task that returned would be started again and again
        loop = asyncio.get_running_loop()
        saved_s = told_s = loop.time()
        while True:
            began_s = loop.time()
            with self._errors.contained(Where.TASK, "history"):
                await self._look()
                if loop.time() - saved_s > SAVE_S:
                    saved_s = loop.time()
                    await asyncio.to_thread(self._save)
                if loop.time() - told_s > OUTLOOK_S:
                    told_s = loop.time()
                    await asyncio.to_thread(self._look_ahead)
            await asyncio.sleep(max(0.0, began_s + PERIOD_S - loop.time()))

    async def close(self) -> None:
        """Write what is open."""
        if not self.missing:
            with self._errors.contained(Where.STATE, "history"):
                await asyncio.to_thread(self._close)

    def series(self, identity: Identity, over: str) -> Series | None:
        """On a thread: the history of a channel; None if it has none. Raises OSError."""
        return None if self.missing else self._store.read(identity, over, self._wall_s())

    def alarms(self, identity: Identity) -> list[Episode]:
        """The alarms of a channel, the latest first."""
        if self.missing:
            return []
        with self._lock:
            return self._episodes.of(identity)

    def outlook_of(self, channel: Channel) -> str:
        """Where the score of a channel goes, as a sentence; empty: it does not rise, or too little is known."""
        return self._outlooks.get(identity_of(self._label_names(), channel.labels), "")

    def healthy_of(self, channel: Channel, key: str) -> Healthy | None:
        """On a thread: how a channel looks when it is healthy; ``key`` is its state key. Raises OSError."""
        return self.healthy(identity_of(self._label_names(), channel.labels), key)

    def healthy(self, identity: Identity, key: str) -> Healthy | None:
        """On a thread: how a channel looks when it is healthy; ``key`` is its state key. Raises OSError."""
        if self.missing:
            return None
        place = self._store.place(identity)
        with self._lock:
            return None if place < 0 else self._healthy.read(place, key)

    async def _look(self) -> None:
        channels, lanes = tuple(self._channels()), dict(self._lanes())
        calm, grown = await asyncio.to_thread(self._take, channels, lanes, self._label_names())
        for one in grown:
            with self._errors.contained(Where.CAPTURE, one.channel.name):
                self._grown(one)
        taken = []
        for channel, place in calm:
            # Only the event loop, which writes the rings, may read samples.
            _, samples = lanes[channel.model].rings.recent(channel.row, SAMPLES)
            if samples.size == SAMPLES and not channel.gone:
                taken.append((channel, place, samples))
        if taken:
            await asyncio.to_thread(self._keep_healthy, taken)

    def _take(
        self, channels: tuple[Channel, ...], lanes: Mapping[str, Lane], label_names: tuple[str, ...]
    ) -> tuple[list[tuple[Channel, int]], list[Grown]]:
        """Take the intervals that closed since the last look: who is calm and due for a picture, and who has grown."""
        now_s = self._wall_s()
        placed = self._place(channels, lanes, label_names, now_s)
        seen = placed.rows.read((*QUANTITIES, "scored_at_s", "alarm_state"))
        values: Float32 = np.stack([seen[name] for name in QUANTITIES], axis=1).astype(np.float32)
        state, at_s = seen["alarm_state"], seen["scored_at_s"]
        fresh = (at_s != placed.seen_s) & (at_s > 0)
        placed.seen_s[:] = at_s
        values[~fresh] = np.nan
        try:
            self._store.add(placed.places, values, now_s)
        except OSError as error:
            self._log.warning("write", f"history not written: reason={error.strerror or error}")
        self._scores = scores = values[:, QUANTITIES.index("score")]
        grown = []
        with self._lock:
            for at in np.flatnonzero(fresh).tolist():
                identity = placed.identities[at]
                if state[at] > State.OK or self._episodes.is_open(identity):
                    channel = channels[at]
                    shown = int(state[at]), float(scores[at]), now_s, channel.alarm_since_s, channel.captured_score
                    passed = self._episodes.see(identity, *shown)
                    if passed is not None:
                        grown.append(Grown(channel, passed))
        calm = []
        for at in np.flatnonzero(fresh & (state == State.OK) & (scores < CALM) & (placed.places >= 0)).tolist():
            place = int(placed.places[at])
            if self._due_s.get((place, channels[at].key), 0.0) <= now_s:
                calm.append((channels[at], place))
                if len(calm) == PICTURES:
                    break
        return calm, grown

    def _place(
        self, channels: tuple[Channel, ...], lanes: Mapping[str, Lane], label_names: tuple[str, ...], now_s: float
    ) -> _Placed:
        """The places of the channels, worked out anew only when channels, lanes or labels change."""
        old = self._placed
        if old is not None and old.label_names == label_names and old.rows.hold(channels, lanes):
            return old
        identities = [identity_of(label_names, channel.labels) for channel in channels]
        places = self._store.places(identities, now_s)
        without = int((places < 0).sum())
        if without:
            self._log.warning("room", f"no history of {without} channels: it has room for {self._store.most}")
        seen_s = np.zeros(len(channels))
        if old is not None:
            before = {id(channel): at for at, channel in enumerate(old.rows.channels)}
            for at, channel in enumerate(channels):
                if id(channel) in before:
                    seen_s[at] = old.seen_s[before[id(channel)]]
        self._placed = _Placed(ChannelRows(channels, lanes), label_names, identities, places, seen_s)
        return self._placed

    def _keep_healthy(self, taken: list[tuple[Channel, int, Float32]]) -> None:
        for channel, place, samples in taken:
            key, now_s = channel.key, self._wall_s()
            try:
                with self._lock:
                    rate_hz = channel.sensor.sampling_rate_hz
                    self._due_s[place, key] = self._healthy.take(place, key, rate_hz, samples, now_s)
            except OSError as error:
                self._log.warning("healthy", f"healthy spectrum not written: reason={error.strerror or error}")
        if len(self._due_s) > 4 * max(1, len(self._placed.rows.channels if self._placed else ())):
            self._due_s.clear()  # of calibrations that are gone

    def _look_ahead(self) -> None:
        """Make the outlooks of the channels with the highest scores."""
        placed, scores = self._placed, self._scores
        if placed is None or scores.size != len(placed.rows.channels):
            return
        high = np.flatnonzero(scores >= CALM)
        found: dict[Identity, str] = {}
        for at in high[np.argsort(-scores[high])][:OUTLOOKS].tolist():
            identity, now_s = placed.identities[at], self._wall_s()
            for window in WINDOWS:
                series = self._store.read(identity, window.over, now_s, window.length_s)
                seen = None if series is None else over_window(series, "score", window)
                if seen is not None and seen.low > 0.0:
                    found[identity] = told(seen, "score", window, SCORE_MARKS)
                    break
        self._outlooks = found

    def _save(self) -> None:
        with self._lock:
            if self._episodes.changed:
                try:
                    self._episodes.save()
                except OSError as error:
                    self._log.warning("alarms", f"alarm history not saved: reason={error.strerror or error}")

    def _close(self) -> None:
        self.missing = "the daemon is stopping"
        self._save()
        try:
            self._store.close(self._wall_s())
        except OSError as error:
            LOG.warning("history not written: reason=%s", error.strerror or error)
        with self._lock:
            self._healthy.close()


def identity_of(label_names: tuple[str, ...], labels: tuple[str, ...]) -> Identity:
    """A channel's non-empty labels with their names, which stay when other sensors get further labels."""
    return tuple(f"{name}={value}" for name, value in zip(label_names, labels, strict=True) if value)
