"""From records to messages: batches of one consumer, each record handed on at the right instant and never too many.

The key of a record, or one of its headers, is the topic of its message. Batches are taken without waiting, on the event
loop; librdkafka has fetched them on its own threads. While a channel's buffer is half full, the records stay in Kafka.

A record that is read late, after a restart, an outage or a moment without room, must not look as if its machine had
been silent. So while a partition is behind its end, the time in the record stands for its arrival. At the end it is
now, whatever clock its sender has; by how much that is off is remembered. Does not handle: which partitions are read.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitor.config.kafka import Kafka
from monitor.core.messages.rejection import Reason, Rejected
from monitor.runtime.intake.kafka.client import ErrorTold, said
from monitor.runtime.intake.kafka.places import Place
from monitor.runtime.intake.kafka.positions import Positions
from monitor.runtime.intake.source import Receiver

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

RECORDS_A_TURN = 64
"""Records handed on in one iteration of the event loop, about 1 ms. Fewer: more overhead. More: page and scrape wait
longer."""

STALL_S = 1.0
"""After so long without room the consumer is paused, so that it can be asked for its callbacks without taking more
records. Shorter: what is fetched ahead is thrown away more often. Longer: the metrics stand still for longer, and a
rebalance waits."""

PAUSE_S = 0.005
"""Pause after a turn that took all there was. Shorter: an idle daemon works more. Longer: scores are later."""

BEHIND_S = 0.5
"""A partition whose end was not reached for so long is behind. Shorter: more is done for records that are live. Longer
than the shortest silence (``route.SHORTEST_PAUSE_S``): where there is too much to do, samples count as missing that
only came late."""


@dataclass(slots=True)
class Reading:
    """How far one partition is read."""

    offset: int = -1
    """Of the last record handed on; -1: none yet."""
    at_end_s: float = float("-inf")
    """Monotonic instant at which its end was last reached."""
    at_end: bool = False
    """Whether everything that was known to be there is handed on."""
    clocks: dict[str, float] = field(default_factory=dict)
    """Monotonic seconds minus those in the record, when one of each topic of sensors last came live."""
    unreadable: int = -1
    """Offset of the last batch that could not be read."""
    step: int = 0
    """Records that were passed over from there on."""
    since_s: float = 0.0
    """Monotonic instant since which it is read."""
    starts: Mapping[str, int] = field(default_factory=dict)
    """Offset from which on each topic of sensors is handed on; others are from the first record on."""
    last_start: int = 0
    """The largest of them."""


class Records:
    """Hands the records of a consumer on to a receiver."""

    def __init__(self, settings: Kafka, receiver: Receiver, on_error: ErrorTold) -> None:
        """Make one that has read nothing.

        Args:
            settings: say where the topic of a message stands, and how large a value may be.
            receiver: takes the messages.
            on_error: called with each error that comes in the place of a record.
        """
        self.positions: dict[Place, Reading] = {}
        """The partitions that are read."""
        self.keys: dict[str, Place] = {}
        """Where the last record of each topic with channels came from."""
        self.held: AbstractSet[Place] = set()
        """Partitions that are ours and not read yet."""
        self._marks: Positions | None = None
        self._header = settings.topic_header
        self._receiver = receiver
        self._on_error = on_error
        self._waiting: deque[Message] = deque()
        self._room_s = math.inf
        """Monotonic instant at which there was last room, while records wait."""
        self._paused: list[TopicPartition] = []
        self._empty_s = -math.inf
        """Monotonic instant at which nothing was left to hand on."""
        self._clock: Callable[[], float] = time.monotonic
        self._wall_clock: Callable[[], float] = time.time

    def remember(self) -> Positions:
        """Keep which record begins with which sample from now on; returns where."""
        self._marks = self._marks or Positions()
        return self._marks

    def turn(self, consumer: "Consumer") -> bool:
        """Hand on one batch, or the rest of the last one; returns whether there is more to do at once."""
        waiting = self._waiting
        if not waiting:
            waiting.extend(consumer.consume(RECORDS_A_TURN, 0))
        full = len(waiting) >= RECORDS_A_TURN
        done: dict[Place, int] = {}
        now_s, now_at_s = self._clock(), self._wall_clock()
        while waiting:
            record = waiting[0]
            error = record.error()
            if error is not None:
                waiting.popleft()
                self._pass_over(consumer, record)
                self._on_error(error)
                continue
            topic = self._topic_of(record)
            place = (record.topic() or "", record.partition() or 0)
            position = self.positions.get(place)
            if topic is not None and position is not None and position.starts:
                offset = record.offset() or 0
                if offset >= position.last_start:
                    position.starts = {}
                elif offset < position.starts.get(topic, 0):
                    waiting.popleft()
                    position.offset = done[place] = offset
                    continue
            if topic is not None and not self._receiver.has_room(topic):
                full = False
                break
            self._room_s = now_s
            waiting.popleft()
            if position is None:
                continue  # it was taken from us while the record waited here
            self._hand_on(topic, record, position, place, now_s, now_at_s)
            position.offset = done[place] = record.offset() or 0
        if done:
            self._reached(consumer, done, now_s)
        self._stall(consumer, now_s, full=full)
        return full

    def _pass_over(self, consumer: "Consumer", record: "Message") -> None:
        """Go on behind a batch that librdkafka cannot read; by itself it would ask for it again for ever.

        It names the first record of the batch, not how many there are. So one more is passed over each time that it
        comes back, and none behind it is lost.
        """
        from confluent_kafka import KafkaError, KafkaException, TopicPartition

        error, topic, number, offset = record.error(), record.topic(), record.partition(), record.offset()
        unreadable = {KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG}  # noqa: SLF001 - its names
        position = self.positions.get((topic or "", number if number is not None else -1))
        if error is None or error.code() not in unreadable or position is None or offset is None or offset < 0:
            return
        position.step = position.step + 1 if position.unreadable == offset else 1
        position.unreadable = offset
        with suppress(KafkaException):  # taken from us a moment ago
            consumer.seek(TopicPartition(topic or "", number or 0, offset + position.step))
        self._receiver.reject(f"{topic}[{number}]@{offset}", Rejected(Reason.UNDECODABLE, said(error)))

    def behind_s(self, lagging: Iterable[Place]) -> float:
        """Longest time in seconds since the end of one of these partitions was reached; 0 for none."""
        positions = [self.positions[place] for place in lagging if place in self.positions]
        return max((self._clock() - max(each.at_end_s, each.since_s) for each in positions), default=0.0)

    def _stall(self, consumer: "Consumer", now_s: float, *, full: bool) -> None:
        """Pause the consumer while there has been no room for long, and let its callbacks go on."""
        if not full and not self._waiting:
            self._empty_s = now_s
        if self._waiting and now_s - self._room_s > STALL_S:
            if not self._paused:
                self._paused = consumer.assignment()
                consumer.pause(self._paused)
            if len(self._waiting) < 2 * RECORDS_A_TURN:  # partitions that came meanwhile are not paused
                self._waiting.extend(consumer.consume(1, 0))
        elif self._paused and not self._waiting:
            paused, self._paused = self._paused, []
            ours = [each for each in paused if (each.topic, each.partition) in self.positions.keys() - self.held]
            consumer.resume(ours)

    def add(self, place: Place, starts: Mapping[str, int] | None = None) -> None:
        """Note a partition that is read from now on; ``starts``: see :class:`Reading`."""
        starts = starts or {}
        last = max(starts.values(), default=0)
        self.positions[place] = Reading(since_s=self._clock(), starts=starts, last_start=last)

    def end(self) -> list[str]:
        """Forget everything, with a consumer that has ended; returns the topics with channels."""
        self._waiting.clear()
        self._paused = []
        return self.forget(set(self.positions))

    def forget(self, places: set[Place]) -> list[str]:
        """Forget partitions that are no longer read; returns the topics whose records came from there."""
        for place in places:
            self.positions.pop(place, None)
        topics = [topic for topic, place in self.keys.items() if place in places]
        for topic in topics:
            del self.keys[topic]
        if self._marks is not None:
            self._marks.forget(topics)
        return topics

    def elsewhere(self) -> list[str]:
        """Forget the topics whose partitions are not read here; returns them."""
        topics = [topic for topic, place in self.keys.items() if place not in self.positions]
        for topic in topics:
            del self.keys[topic]
        return topics

    def _topic_of(self, record: "Message") -> str | None:
        """The topic of the message in a record; None if the record does not say it."""
        name: str | bytes | None
        if self._header is None:
            name = record.key()
        else:
            headers = dict(record.headers() or ())
            name = headers.get(self._header)
        try:
            return name.decode() if isinstance(name, bytes) else name
        except UnicodeDecodeError:
            return None

    def _hand_on(
        self, topic: str | None, record: "Message", position: Reading, place: Place, now_s: float, now_at_s: float
    ) -> None:
        if topic is None:
            where = "key" if self._header is None else f"header {self._header}"
            text = f"the record has no {where} that is text, so its sensor is not known"
            self._receiver.reject(f"{place[0]}[{place[1]}]@{record.offset()}", Rejected(Reason.UNKNOWN_TOPIC, text))
            return
        arrived_s, (_, at_ms) = now_s, record.timestamp()
        live = now_s - (self._empty_s if position.at_end else position.at_end_s) <= BEHIND_S
        if not live and at_ms > 0:
            arrived_s = min(now_s, at_ms / 1000 + position.clocks.get(topic, now_s - now_at_s))
        self._receiver.deliver(topic, record.value() or b"", arrived_s=arrived_s)
        if self.keys.get(topic) != place and self._receiver.knows(topic):
            self.keys[topic] = place
        if live and topic in self.keys:
            position.clocks[topic] = now_s - at_ms / 1000
        if self._marks is not None:
            self._marks.note(topic, place, record.offset() or 0, self._receiver.reached(topic))

    def _reached(self, consumer: "Consumer", done: dict[Place, int], now_s: float) -> None:
        """Note how far the partitions are read: for the group's positions, and whether the end is reached."""
        from confluent_kafka import KafkaException, TopicPartition

        stored = [TopicPartition(topic, number, offset + 1) for (topic, number), offset in done.items()]
        for each in stored:
            _, end = consumer.get_watermark_offsets(each, cached=True)
            position = self.positions[each.topic, each.partition]
            position.at_end = each.offset >= end
            if position.at_end:
                position.at_end_s = now_s
        with suppress(KafkaException):  # taken from us a moment ago: the next owner reads them again
            consumer.store_offsets(offsets=stored)
