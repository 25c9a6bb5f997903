"""The topic with the state of every channel of a group: every worker reads all of it, the owner of a channel writes.

The newest state of each channel is held ready, so who gets a partition has it at once. It belongs to whoever had the
channel last: a record of a lower generation than the newest seen of its channel is not used. A record that another
version wrote is an error, since its channels would lose what they have. Does not handle: what the state holds
(``runtime.state.moving``), and which channels a worker has (``ownership``).
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from monitor.config.kafka import Kafka
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka.client import (
    client_options,
    consumer_options,
    is_compacted,
    make_consumer,
    make_producer,
    partitions_of,
    said,
)
from monitor.runtime.intake.kafka.places import Place
from monitor.runtime.intake.kafka.positions import Position
from monitor.runtime.log.logs import RepeatedLog

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer

LOG = logging.getLogger(__name__)

VERSION = "1"
"""Version of the records, in the header ``version``; another one is refused."""

RECORDS_A_TURN = 64
"""Records taken in one turn of the event loop, under 1 ms. Fewer: a start takes longer. More: messages wait longer, and
what channels learn from has 0.28 MB each."""

PAUSE_S = 0.02
"""Pause after a turn that took all there was. Shorter: more work. Longer: a channel that moves waits longer."""

MOST_WAITING = 64
"""Most belongings that wait to be looked at. Fewer: a start takes longer. More: memory, up to 0.28 MB each."""

LOOK_S = 10.0
"""Seconds between two looks for partitions. Longer: they are read later."""

ANSWER_S = 5.0
"""Longest wait for an answer, on a thread. Shorter: a slow cluster is taken for one that does not answer."""

ACCEPTED_S = 10.0
"""Longest wait until a record is accepted, retries included. Longer: a cluster that is away is noticed later."""


class Ignored(StrEnum):
    """Why a record is not used."""

    OLD_GENERATION = "old_generation"
    """Another worker has had the channel since."""
    UNREADABLE = "unreadable"
    """It is not a state."""


class Kind(StrEnum):
    """What belongs to a channel beside its state; stands in the header ``kind``, and behind its name in the key."""

    BASELINE = "baseline"
    """Its baseline."""
    LEARNING = "learning"
    """What it learns from."""


@dataclass(frozen=True, slots=True)
class Belonging:
    """What belongs to a channel, to be written."""

    kind: Kind
    """What it is."""
    key: str
    """Name of the channel."""
    topic: str
    """Topic of its sensor."""
    mark: str
    """Equal where nothing has changed; empty: there is none."""
    value: Callable[[], bytes]
    """Makes the bytes, on any thread; raises MonitorError if they cannot be read."""


@dataclass(frozen=True, slots=True)
class Came:
    """A belonging of a channel, as it came."""

    kind: Kind
    """What it is."""
    key: str
    """Key of its record."""
    value: bytes
    """What was written of it."""


@dataclass(frozen=True, slots=True)
class KeptState:
    """The newest state of a channel."""

    generation: int
    """That of its writer."""
    position: Position
    """Where to go on."""
    value: bytes
    """What was saved of the channel."""


class StateTopic:
    """Follows the topic, and writes to it."""

    def __init__(self, settings: Kafka, topic: str) -> None:
        self.latest: dict[str, KeptState] = {}
        """The newest state by the key of its channel."""
        self.belongings: dict[str, tuple[int, str]] = {}
        """Generation and mark of the newest of each belonging, by its key."""
        self.came: asyncio.Queue[Came] = asyncio.Queue()
        """Belongings that came and were not looked at yet."""
        self.ignored: Counter[Ignored] = Counter()
        self.written = 0
        """Records that were accepted."""
        self.failures = 0
        """Records that were not."""
        self.missing = False
        """Whether the cluster does not have the topic, or does not show it to us."""
        self._settings, self._topic = settings, topic
        self._foreign: dict[str, str] = {}
        self._log = RepeatedLog(LOG, time.monotonic)
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._turned = asyncio.Event()
        self._reached: dict[int, int] = {}
        """Offset behind the last record that was read, by partition."""

    @property
    def problem(self) -> str:
        """Why the topic cannot be used; empty if it can."""
        if not self._foreign:
            return ""
        key, version = next(iter(self._foreign.items()))
        return (
            f"kafka.state_topic {self._topic} holds the state of '{key}' in version {version}, this daemon reads and "
            f"writes version {VERSION}; let all daemons of the group have one version, or name a new topic"
        )

    async def run(self) -> None:
        """Read until cancelled.

        Raises:
            MonitorError: the cluster does not answer.
        """
        self._reached.clear()
        consumer = await asyncio.to_thread(self._make_consumer)
        try:
            await self._look(consumer)
            self._consumer, looked_s = consumer, time.monotonic()
            while True:
                records = consumer.consume(RECORDS_A_TURN, 0)
                for record in records:
                    self._take(record)
                self._turned.set()
                if self.came.qsize() > MOST_WAITING:
                    await self.came.join()
                if self._producer is not None:
                    self._producer.poll(0)
                if time.monotonic() - looked_s > LOOK_S:
                    looked_s = time.monotonic()
                    await self._look(consumer)
                await asyncio.sleep(0 if len(records) == RECORDS_A_TURN else PAUSE_S)
        finally:
            self._consumer = None
            await asyncio.shield(asyncio.to_thread(consumer.close))

    async def caught_up(self) -> None:
        """Wait until everything is read that stands in the topic now."""
        while (consumer := self._consumer) is None or not self._reached:
            await self._next_turn()
        ends = await asyncio.to_thread(_ends, consumer, self._topic, sorted(self._reached))
        while any(self._reached.get(number, 0) < end for number, end in ends.items()):
            await self._next_turn()

    async def _next_turn(self) -> None:
        self._turned.clear()
        await self._turned.wait()

    def of(self, places: Collection[Place]) -> dict[str, KeptState]:
        """The states of the channels whose records are in these partitions, by key."""
        return {key: kept for key, kept in self.latest.items() if kept.position.place in places}

    async def prepare(self) -> None:
        """Have what writing needs, which takes a moment.

        Raises:
            MonitorError: a file of the settings cannot be read.
        """
        if self._producer is None:
            self._producer = await asyncio.to_thread(self._make_producer)

    def write(self, key: str, position: Position, value: bytes, generation: int) -> None:
        """Write the state of a channel; :meth:`flush` waits for the answers."""
        self._produce(key, value, generation, [("position", msgspec.json.encode(position))])

    def write_belonging(self, name: str, kind: Kind, mark: str, value: bytes, generation: int) -> None:
        """Write what belongs to the channel of this name, of which nothing changes while ``mark`` is the same."""
        key = key_of(name, kind)
        self.belongings[key] = generation, mark
        self._produce(key, value, generation, [("kind", kind), ("mark", mark)])

    def _produce(self, key: str, value: bytes, generation: int, more: list[tuple[str, str | bytes | None]]) -> None:
        headers: list[tuple[str, str | bytes | None]] = [
            ("version", VERSION),
            ("generation", str(generation)),
            ("writer", self._settings.client_id or ""),
            *more,
        ]
        from confluent_kafka import KafkaException

        if self._producer is None:
            self._producer = self._make_producer()
        try:
            self._producer.produce(self._topic, value, key, headers=headers, on_delivery=self._delivered)
        except BufferError:
            self._not_written(key, "too many records wait for the cluster")
        except KafkaException as error:  # larger than the client allows
            self._not_written(key, said(error))

    def flush(self, timeout_s: float) -> None:
        """Wait until the records are accepted, at most so long."""
        if self._producer is not None:
            self._producer.flush(timeout_s)

    def _delivered(self, error: "KafkaError | None", record: "Message") -> None:
        if error is None:
            self.written += 1
        else:
            self._not_written(_text(record.key()), said(error))

    def _not_written(self, key: str, reason: str) -> None:
        self.failures += 1
        self.belongings.pop(key, None)  # it is written again
        self._log.warning("write", f"state not written: topic={self._topic} reason={reason}")

    def _make_consumer(self) -> "Consumer":
        options: dict[str, Any] = {
            "group.id": self._settings.group,  # librdkafka wants one; the group hears nothing of it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "error_cb": self._told,
        }
        return make_consumer({**consumer_options(self._settings), **options})

    def _make_producer(self) -> "Producer":
        own = {"message.timeout.ms": round(ACCEPTED_S * 1000), "linger.ms": 5}
        return make_producer({**client_options(self._settings), **own})

    async def _look(self, consumer: "Consumer") -> None:
        """Read the partitions that are not read yet, from their beginning."""
        from confluent_kafka import OFFSET_BEGINNING, TopicPartition

        places, missing = await asyncio.to_thread(partitions_of, self._settings, (self._topic,), ANSWER_S)
        self.missing = bool(missing)
        new = [number for _, number in places if number not in self._reached]
        if new:
            if not self._reached:
                await self._warn_unless_compacted()
            self._reached |= dict.fromkeys(new, 0)
            consumer.incremental_assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in new])

    async def _warn_unless_compacted(self) -> None:
        """Warn of a topic that deletes states by their age."""
        if await asyncio.to_thread(is_compacted, self._settings, self._topic, ANSWER_S) is False:
            LOG.warning(
                "the state topic is not compacted, so channels that are silent for long are forgotten: topic=%s; set "
                "its cleanup.policy to compact",
                self._topic,
            )

    def _take(self, record: "Message") -> None:
        from confluent_kafka import KafkaError

        error, number, offset = record.error(), record.partition() or 0, record.offset() or 0
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                self._reached[number] = max(self._reached[number], offset)
            else:
                self._told(error)
            return
        self._reached[number] = offset + 1
        key = _text(record.key())
        self._foreign.pop(key, None)
        if record.value() is None:
            self.latest.pop(key, None)
            return
        headers = dict(record.headers() or ())
        version = _text(headers.get("version"))
        if version != VERSION:
            self._foreign[key] = version[:20] or "unknown"
            return
        try:
            generation = int(_text(headers.get("generation")))
            if "kind" in headers:
                kind = Kind(_text(headers["kind"]))
                self._take_belonging(Came(kind, key, record.value() or b""), generation, _text(headers.get("mark")))
                return
            position = msgspec.json.decode(headers.get("position") or b"", type=Position)
        except ValueError as error:
            self._ignored(Ignored.UNREADABLE, key, str(error))
            return
        before = self.latest.get(key)
        if before is not None and generation < before.generation:
            self._ignored(Ignored.OLD_GENERATION, key, f"generation {generation}, seen was {before.generation}")
            return
        self.latest[key] = KeptState(generation, position, record.value() or b"")

    def _take_belonging(self, came: Came, generation: int, mark: str) -> None:
        before = self.belongings.get(came.key)
        if before is not None and generation < before[0]:
            self._ignored(Ignored.OLD_GENERATION, came.key, f"generation {generation}, seen was {before[0]}")
            return
        if before != (generation, mark):
            self.belongings[came.key] = generation, mark
            self.came.put_nowait(came)

    def ignore(self, what: str, detail: str) -> None:
        """Count a record of ``what`` whose value cannot be read."""
        self._ignored(Ignored.UNREADABLE, what, detail)

    def _ignored(self, reason: Ignored, key: str, detail: str) -> None:
        self.ignored[reason] += 1
        self._log.warning(reason, f"state not used: topic={self._topic} channel={key!r:.200} {reason}: {detail}")

    def _told(self, error: "KafkaError") -> None:
        self._log.warning(error.name(), f"Kafka: url={self._settings.url} error={said(error)}")


def key_of(name: str, kind: Kind) -> str:
    """The key of what belongs to the channel of this name."""
    return f"{name} {kind}"


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _ends(consumer: "Consumer", topic: str, numbers: list[int]) -> dict[int, int]:
    """Where partitions end now; 0 for those that are empty.

    Raises:
        MonitorError: the cluster does not answer.
    """
    from confluent_kafka import KafkaException, TopicPartition

    found: dict[int, int] = {}
    try:
        for number in numbers:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=ANSWER_S)
            found[number] = high if high > low else 0
    except KafkaException as error:
        raise MonitorError(f"no end of {topic}: {said(error)}") from error
    return found
