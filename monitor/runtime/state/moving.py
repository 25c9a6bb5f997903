"""The state of channels that move between the workers of a Kafka consumer group, as documents of one channel each.

A document is a state file with one channel (``file``), plus the point at which another worker goes on
(:mod:`monitor.core.forecasting.resume`). Counters do not move: each worker counts what it did itself. Does not handle:
how a document travels and whose it is (``intake.kafka.ownership``).
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Protocol

import numpy as np

from monitor.config.configuration import Config
from monitor.core.arrays import Arrays
from monitor.core.forecasting.resume import AT, NOWHERE, PREFIX
from monitor.runtime.baselines.store import Store
from monitor.runtime.baselines.transfer import packed, take_over
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.ownership import Document
from monitor.runtime.intake.kafka.positions import Position
from monitor.runtime.intake.kafka.state_topic import Belonging, KeptState, Kind
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.state.file import Known, Table, pack, unpack
from monitor.runtime.state.memory import ANSWER_S, COUNTED, Memory, Place, Workers, questions

WARMUP = 1.0
"""Time constants of the level that are read again, beside a window. Fewer: where the network's state does not fit, the
first scores elsewhere differ more. More: a channel that moves is scored again later."""

LEARNING = "learning"
"""Name of the array with how far a channel is that learns."""

Asked = tuple[Workers, list[Channel], "Future[Arrays]"]


class Scores(Protocol):
    """Writes what was scored: :class:`monitor.runtime.scores.desk.ScoreDesk`."""

    async def settled(self) -> None:
        """Wait until everything is written that workers have said so far."""

    def settle(self) -> None:
        """The same, blocking."""


class Learning(Protocol):
    """Knows what channels learn from: :class:`monitor.runtime.learning.travel.Travel`."""

    def progress(self, channel: Channel) -> bytes:
        """How far a channel is, as a document; empty: it does not learn."""

    def bring(self, labels: Mapping[str, str], progress: bytes) -> None:
        """Take note of how far a channel is that comes from another worker."""

    def mark(self, labels: Mapping[str, str]) -> str:
        """Text that is the same while the file of a channel is; empty: it has none."""

    def packed(self, channel: Channel, labels: Mapping[str, str]) -> bytes:
        """What is kept of a channel; raises MonitorError."""

    def keep(self, document: bytes) -> None:
        """Keep what another worker packed; raises MonitorError."""


class Moving:
    """Gives and takes the state of a daemon's channels; see :class:`monitor.runtime.intake.kafka.ownership.Owner`."""

    def __init__(
        self,
        memory: Memory,
        ingest: Ingest,
        lanes: Callable[[], Mapping[str, Workers]],
        config: Callable[[], Config],
        scores: Scores,
        store: Store,
        learning: Learning,
    ) -> None:
        """Move nothing yet.

        Args:
            memory: gives a new channel its state.
            ingest: has the channels.
            lanes: returns the workers of each model.
            config: returns the running configuration.
            scores: writes the scores, whose topic must have an interval before the state says that it was scored.
            store: has the baselines.
            learning: has what channels learn from.
        """
        self._memory, self._ingest, self._lanes, self._config = memory, ingest, lanes, config
        self._scores, self._store, self._learning = scores, store, learning

    def follow(self, latest: Callable[[str], KeptState | None]) -> None:
        """Give a channel that comes with a message the evidence and the alarm state that are known of it.

        Args:
            latest: returns the newest state of a channel by its name.
        """
        self._memory.elsewhere = partial(self._elsewhere, latest)

    def _elsewhere(self, latest: Callable[[str], KeptState | None], channel: Channel) -> Place | None:
        kept = latest(channel.name)
        if kept is None or kept.position.sensor != channel.topic:
            return None
        try:
            known, table = _of_one(kept.value)
        except ValueError:
            return None  # it was told when its partition came
        if self._is_gone(known):
            return None
        self._lanes()[channel.model].lane.rings.start_context(channel.row, max(0, kept.position.next))
        return known, _without(table, PREFIX, LEARNING), 0

    def attend(self) -> None:
        """Have the workers keep from now on where another one can go on, so that the first interval counts."""
        for inference in self._lanes().values():
            for part in range(inference.lane.shape.parts):
                inference.collect(part, (), points=True)

    async def documents(self, topics: Collection[str]) -> list[Document]:
        """The states of the channels of topics that another worker can go on with.

        Raises:
            TimeoutError: a worker does not answer.
        """
        found: list[Document] = []
        for inference, channels, answer in self._ask(topics):
            async with asyncio.timeout(ANSWER_S):
                arrays = await asyncio.wrap_future(answer)
            found += self._of(inference.lane, channels, arrays)
        await self._scores.settled()
        return found

    def documents_now(self, topics: Collection[str]) -> list[Document]:
        """The same, blocking.

        Raises:
            TimeoutError: a worker does not answer.
        """
        asked = list(self._ask(topics))
        found = [
            document
            for inference, channels, answer in asked
            for document in self._of(inference.lane, channels, answer.result(ANSWER_S))
        ]
        self._scores.settle()
        return found

    def take(self, value: bytes, position: Position, *, rewinds: bool) -> float | None:
        """Create a channel with a state; see :class:`monitor.runtime.intake.kafka.ownership.Owner`.

        Raises:
            ValueError: the value is no state.
        """
        known, table = _of_one(value)
        if LEARNING in table.arrays:
            labels = dict(each.split("=", 1) for each in known.labels)
            self._learning.bring(labels, table.arrays.pop(LEARNING).tobytes())
        at = int(table.arrays[AT][0]) if AT in table.arrays and table.arrays[AT].shape == (1,) else NOWHERE
        if self._is_gone(known):
            return None
        resumes = rewinds and at != NOWHERE
        channel = self._memory.move_in(known, table if resumes else _without(table, PREFIX), self._ingest)
        if channel is None:
            return None
        rings = self._lanes()[channel.model].lane.rings
        if not resumes:
            rings.start_context(channel.row, max(0, position.next))
            return 0.0
        channel.lead_samples = (at - position.sample) % rings.block_samples
        rings.start_context(channel.row, position.sample + channel.lead_samples)
        return max(0, at - position.sample) / channel.sensor.sampling_rate_hz

    def baselines(self, topics: Collection[str]) -> list[Belonging]:
        """The baselines of the channels of topics, and what was asked of them; on any thread."""
        found: list[Belonging] = []
        for channel, labels in self._labelled(topics):
            history = self._store.history(labels)
            if history is not None and history.changes and channel.sensor.calibration_of(labels) is None:
                mark, value = f"{history.changes[-1].at_s:.6f} {history.current}", partial(packed, self._store, history)
                found.append(Belonging(Kind.BASELINE, channel.name, channel.topic, mark, value))
        return found

    def learning(self, topics: Collection[str]) -> Iterator[Belonging]:
        """What the channels of topics learn from, in the order of the topics; on any thread."""
        by_topic: dict[str, list[tuple[Channel, dict[str, str]]]] = {topic: [] for topic in topics}
        for channel, labels in self._labelled(topics):
            by_topic[channel.topic].append((channel, labels))
        for topic, present in by_topic.items():
            for channel, labels in present:
                mark = self._learning.mark(labels)
                if not mark and channel.learning is not None:
                    continue  # it will soon have a file
                value = partial(self._learning.packed, channel, labels)
                yield Belonging(Kind.LEARNING, channel.name, topic, mark, value)

    def _labelled(self, topics: Collection[str]) -> Iterator[tuple[Channel, dict[str, str]]]:
        names = self._config().label_names
        for channel in list(self._ingest.channels.values()):
            if channel.topic in topics:
                yield channel, dict(zip(names, channel.labels, strict=True))

    def keep(self, kind: Kind, value: bytes) -> None:
        """Keep what another worker has written of a channel; on a thread.

        Raises:
            MonitorError: it is no such thing, or cannot be kept.
        """
        if self._config().state_dir is None:
            return
        if kind is Kind.BASELINE:
            take_over(self._store, value)
        else:
            self._learning.keep(value)

    def _is_gone(self, known: Known) -> bool:
        """Whether a channel has sent nothing for so long that it is forgotten."""
        return self._memory.now_at_s() - known.last_sample_at_s > self._config().scoring.forget_after

    def _ask(self, topics: Collection[str]) -> Iterator[Asked]:
        channels = [channel for channel in self._ingest.channels.values() if channel.topic in topics]
        lanes = self._lanes()
        for inference, part, asked in questions(channels, dict(lanes), together=False):
            yield inference, asked, inference.collect(part, [channel.row for channel in asked], points=True)

    def _of(self, lane: Lane, channels: list[Channel], arrays: Arrays) -> Iterator[Document]:
        names = self._config().label_names
        present = self._ingest.channels
        kept = {name: array for name, array in arrays.items() if name not in COUNTED}
        for i, channel in enumerate(channels):
            at = int(arrays[AT][i])
            if at == NOWHERE or present.get(channel.labels) is not channel:
                continue
            known = self._memory.known(channel, names, channel.key)
            warmup = lane.shape.window_blocks + round(WARMUP * lane.shape.level_blocks)
            yield Document(
                channel.name,
                channel.topic,
                channel.labels[-1],
                at,
                warmup * lane.shape.block_samples,
                known.last_sample_at_s,
                (at, channel.event, channel.key),
                partial(_packed, known, kept, i, self._learning.progress(channel)),
            )


def _of_one(value: bytes) -> tuple[Known, Table]:
    """The channel in a document, and its arrays without counters.

    Raises:
        ValueError: it is no document of one channel.
    """
    tables = unpack(value).tables
    if len(tables) != 1 or len(tables[0].channels) != 1:
        raise ValueError("it is not the state of one channel")
    try:
        known = Known.of_line(tables[0].channels[0])
    except TypeError as error:
        raise ValueError(f"its channel cannot be read: {error}") from error
    return known, _without(tables[0], *COUNTED)


def _without(table: Table, *beginnings: str) -> Table:
    """A table without the arrays whose names begin so."""
    arrays = {name: array for name, array in table.arrays.items() if not name.startswith(beginnings)}
    return Table(table.channels, arrays)


def _packed(known: Known, arrays: Arrays, i: int, learning: bytes) -> bytes:
    own = {name: array[i : i + 1] for name, array in arrays.items()}
    if learning:
        own[LEARNING] = np.frombuffer(learning, np.uint8)[None]
    head, data = pack([Table([known.line()], own)])
    return head + data
