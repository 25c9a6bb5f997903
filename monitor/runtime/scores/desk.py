"""Writes every interval that the workers close to a topic of Kafka, a few at a time.

Workers hand closed intervals over a few times a second, on threads. The event loop finds their channels and hands the
records to librdkafka in pieces, between which messages are taken. Nothing waits for the brokers: what does not fit is
counted and dropped. Intervals of a channel that another daemon has by now are left out. Does not handle: what a record
says (``document``) and how it is sent (``intake.kafka.stream_writer``).
"""

import asyncio
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from monitor.config.configuration import Config
from monitor.config.kafka import Kafka
from monitor.core.arrays import AnyArray
from monitor.runtime.alarms.event import channel_key
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.kafka.generation import NONE
from monitor.runtime.intake.kafka.source import KafkaState
from monitor.runtime.intake.kafka.stream_writer import Reason, StreamWriter
from monitor.runtime.intake.source import SourceState
from monitor.runtime.lanes.closed import Closed
from monitor.runtime.lanes.workers import Inference
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.scores.document import Author, documents
from monitor.runtime.wall_clock import WallClock

PIECE = 64
"""Intervals written in one turn of the event loop, about 1 ms. Fewer: more work. More: messages and scrapes wait."""

PERIOD_S = 0.05
"""Seconds between two looks for intervals that came. Shorter: more work. Longer: records are written later."""

SETTLED_S = 2.0
"""Longest wait for the brokers' answers. Shorter: what a busy cluster takes is not waited for. Longer: where the topic
of scores is missing, channels move to other daemons later."""

MOST_WAITING = 100_000
"""Most intervals that wait for the event loop. Fewer: a busy second loses some. More: memory, 0.2 kB each."""


@dataclass(frozen=True, slots=True)
class _Piece:
    intervals: AnyArray
    channels: list[Channel]
    generation: int


class ScoreDesk:
    """Writes the scores of a running daemon, if its configuration names a topic for them."""

    def __init__(
        self,
        source: Callable[[], SourceState],
        channels: Callable[[str], Mapping[int, Channel]],
        wall_clock: WallClock,
        errors: InternalErrors,
    ) -> None:
        """Make a desk that writes nothing yet.

        Args:
            source: returns the state of the connection, which knows our generation.
            channels: returns the present channels of a lane by row; it is asked for every message of a worker.
            wall_clock: maps monotonic to UNIX seconds.
            errors: counts unexpected errors.
        """
        self.dropped: Counter[Reason] = Counter()
        """Records that were not written, by reason."""
        self._source, self._channels, self._wall_clock, self._errors = source, channels, wall_clock, errors
        self._label_names: tuple[str, ...] = ()
        self._lanes: Mapping[str, Inference] = {}
        self._told: weakref.WeakKeyDictionary[Inference, bool] = weakref.WeakKeyDictionary()
        self._settings: Kafka | None = None
        self._writer: StreamWriter | None = None
        self._heard: deque[tuple[Inference, Closed]] = deque()
        self._waiting: deque[_Piece] = deque()
        self._waiting_count = 0
        self._wake = asyncio.Event()
        self._written = 0

    @property
    def written(self) -> int | None:
        """Records that the brokers have taken; None: no topic is configured."""
        if self._settings is None:
            return None
        return self._written + (0 if self._writer is None else self._writer.written)

    def configure(self, config: Config, lanes: Mapping[str, Inference]) -> None:
        """Apply a configuration and its lanes."""
        settings = config.kafka if config.kafka is not None and config.kafka.scores_topic is not None else None
        if settings != self._settings:
            self._settings = settings
        self._label_names, self._lanes = config.label_names, dict(lanes)
        wanted = self._settings is not None
        for inference in lanes.values():
            if self._told.get(inference, False) != wanted:
                self._told[inference] = wanted
                inference.report(wanted)
        self._wake.set()

    def heard(self, inference: Inference, closed: Closed) -> None:
        """Take intervals that a worker closed; on any thread."""
        self._heard.append((inference, closed))

    def take_heard(self) -> None:
        """Find the channels of the intervals that were taken; on the event loop."""
        while self._heard:
            self.closed(*self._heard.popleft())

    async def settled(self) -> None:
        """Wait until what was taken up to now is answered for, so that who knows what was scored finds it written."""
        self.take_heard()
        writer = self._writer
        if writer is not None:
            await self._write_waiting(writer)
            handed = writer.handed
            for _ in range(round(SETTLED_S / PERIOD_S)):
                if writer.is_answered(handed):
                    return
                writer.serve()
                await asyncio.sleep(PERIOD_S)

    def settle(self) -> None:
        """The same, blocking."""
        self.take_heard()
        if self._writer is not None:
            self._write_all(self._writer)
            self._writer.flush(SETTLED_S)

    def closed(self, inference: Inference, closed: Closed) -> None:
        """Take intervals that a worker closed; on the event loop."""
        if self._settings is None or self._lanes.get(inference.lane.name) is not inference:
            return
        state = self._source()
        generation = state.generation if isinstance(state, KafkaState) else NONE
        by_row = self._channels(inference.lane.name)
        rows = closed.intervals["row"]
        same = (closed.intervals["clears"] == inference.clears[rows]).tolist()
        ours = [at for at, row in enumerate(rows.tolist()) if same[at] and row in by_row]
        if self._waiting_count + len(ours) > MOST_WAITING:
            self.dropped[Reason.QUEUE_FULL] += len(ours)
            return
        for first in range(0, len(ours), PIECE):
            intervals = closed.intervals[ours[first : first + PIECE]]
            channels = [by_row[row] for row in intervals["row"].tolist()]
            self._waiting.append(_Piece(intervals, channels, generation))
        self._waiting_count += len(ours)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            writer = await self._present_writer()
            if writer is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            self.take_heard()
            if await writer.open():
                writer.serve()
                await self._write_waiting(writer)
            await asyncio.sleep(PERIOD_S)

    async def close(self) -> None:
        """Write what is left, but not for long."""
        self.take_heard()
        if self._writer is not None:
            self._write_all(self._writer)
            await self._writer.close()

    async def _write_waiting(self, writer: StreamWriter) -> None:
        """Write what waits, and let messages be taken meanwhile."""
        while self._waiting:
            self._write(writer, self._waiting.popleft())
            await asyncio.sleep(0)

    def _write_all(self, writer: StreamWriter) -> None:
        while self._waiting:
            self._write(writer, self._waiting.popleft())

    async def _present_writer(self) -> StreamWriter | None:
        """The writer of the present settings."""
        settings, writer = self._settings, self._writer
        if writer is not None and writer.settings is not settings:
            self._writer = None
            await writer.close()
            self._written += writer.written
        if self._writer is None and settings is not None and settings.scores_topic is not None:
            self._writer = StreamWriter(settings, settings.scores_topic, self.dropped)
        return self._writer

    def _write(self, writer: StreamWriter, piece: _Piece) -> None:
        self._waiting_count -= len(piece.channels)
        with self._errors.contained(Where.TASK, "scores"):
            here = [at for at, one in enumerate(piece.channels) if self._channels(one.model).get(one.row) is one]
            if not here:
                return
            intervals, channels = piece.intervals[here], [piece.channels[at] for at in here]
            ends_s = np.round(intervals["ended_s"] + self._wall_clock.offset_s, 3)
            author = Author(writer.settings.client_id or "", piece.generation)
            values = documents(intervals, channels, self._label_names, ends_s, author)
            for channel, value, end_s in zip(channels, values, ends_s.tolist(), strict=True):
                labels = dict(zip(self._label_names, channel.labels, strict=True))
                writer.write(channel_key(labels).encode(), value, round(1000 * end_s))
