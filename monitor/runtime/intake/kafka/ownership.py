"""What one member of a group does when channels come and go: their state is read, written, and let go of.

A partition that comes is held back until the state topic is read to its end. Then its channels are created with what
the worker before saved of them, and the partition is read from some blocks before the point at which they go on. Its
other channels begin with the group's position. What was saved goes to the topic every few seconds, and once more before
a partition is let go of. Does not handle: what the state of a channel holds (``Owner``).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Never, Protocol

from monitor.config.kafka import Kafka
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka.client import said
from monitor.runtime.intake.kafka.places import Place
from monitor.runtime.intake.kafka.positions import Position
from monitor.runtime.intake.kafka.records import Records
from monitor.runtime.intake.kafka.state_topic import Belonging, KeptState, Kind, StateTopic, key_of
from monitor.runtime.intake.source import Receiver
from monitor.runtime.log.logs import RepeatedLog

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

LOG = logging.getLogger(__name__)

WRITE_S = 3.0
"""Seconds between two writings of what changed. Shorter: more records, 6 kB a channel. Longer: after a kill more is
scored again elsewhere."""

LEAST_REST = 4.0
"""Pause after a writing, in multiples of its duration, so that it takes at most a fifth of the time. Lower: a large
plant is kept busy with it. Higher: more is scored again after a kill."""

MOST_AT_A_TIME = 20
"""Most baselines, and most files of what channels learn from, that are written at a time. Fewer: it takes longer until
all of a plant are there. More: what is written at a time is more than 10 MB."""

LEARNING_S = 300.0
"""Longest time between two looks at what a channel learns from; it begins with :data:`WRITE_S` and doubles. Shorter:
more is written, up to 0.28 MB each time. Longer: after a kill more of what was gathered is missing elsewhere."""

LEARNING_GOODBYE_S = 1.0
"""Longest time in which what channels learn from is read and handed over before a partition is let go of. Shorter: of a
large plant more is missing elsewhere. Longer: who gets the partition waits longer."""

HELD_S = 30.0
"""Longest time for which partitions are held back while the state topic cannot be read. Shorter: a slow cluster costs
the alarm states of the channels that come. Longer: they are not watched for longer."""

GOODBYE_S = 3.0
"""Longest wait for the last records of a partition. Longer: who gets it waits longer."""

ANSWER_S = 5.0
"""Longest wait for an answer of the cluster, on a thread."""

LIVE_S = 30.0
"""A channel whose last samples are older than the newest of its partition by more than this begins a new context when
it sends again. Shorter: a channel whose messages are rare warms up again. Longer: for a channel that has been silent,
records of all channels are read again."""

RETRY_S = 1.0
"""Seconds before the cluster is asked again. Shorter: one in trouble gets more requests. Longer: channels wait."""


@dataclass(frozen=True, slots=True)
class Document:
    """The state of a channel, to be written."""

    key: str
    """Name of the channel."""
    topic: str
    """Topic of its sensor."""
    axis: str
    """Its axis."""
    at: int
    """Stream index at which another worker goes on."""
    warmup_samples: int
    """Samples before it that warm the network up."""
    last_sample_at_s: float
    """UNIX seconds of its last samples."""
    version: object
    """Equal where nothing has changed."""
    value: Callable[[], bytes]
    """Makes the bytes, on any thread."""


class Owner(Protocol):
    """Gives and takes the state of channels: :class:`monitor.runtime.state.moving.Moving`."""

    def follow(self, latest: Callable[[str], KeptState | None]) -> None:
        """Ask this for the state of a channel that comes with a message, by its name: its key changed the partition."""

    def attend(self) -> None:
        """Note from now on what another worker needs."""

    async def documents(self, topics: Collection[str]) -> list[Document]:
        """The states of the channels of topics that another worker can go on with."""

    def documents_now(self, topics: Collection[str]) -> list[Document]:
        """The same, blocking."""

    def baselines(self, topics: Collection[str]) -> list[Belonging]:
        """The baselines of the channels of topics."""

    def learning(self, topics: Collection[str]) -> Iterator[Belonging]:
        """What the channels of topics learn from, in the order of the topics."""

    def keep(self, kind: Kind, value: bytes) -> None:
        """Keep what another worker has written of a channel; on a thread.

        Raises:
            MonitorError: it is no such thing, or cannot be kept.
        """

    def take(self, value: bytes, position: Position, *, rewinds: bool) -> float | None:
        """Create a channel with a state.

        Args:
            value: its state.
            position: where its samples go on.
            rewinds: whether they are read again from there on; False: what comes next is behind what was read.

        Returns:
            Seconds of samples before the point at which it goes on; None: the channel is gone for good.

        Raises:
            ValueError: the value is no state.
        """


class Ownership:
    """The channels of one member."""

    def __init__(self, settings: Kafka, topic: StateTopic, owner: Owner, receiver: Receiver, records: Records) -> None:
        """Make one that has no channels.

        Args:
            settings: the section ``kafka``.
            topic: the state topic; its owner follows it.
            owner: gives and takes the state of channels.
            receiver: takes the messages.
            records: read the partitions.
        """
        self.topic = topic
        self.replayed_s = 0.0
        """Seconds of samples that were read again, over all channels."""
        self._settings, self._owner, self._receiver, self._records = settings, owner, receiver, records
        self._positions = records.remember()
        owner.follow(lambda name: topic.latest.get(name))  # noqa: PLW0108 - the table may be another one by then
        self._held: dict[Place, int] = {}  # and the generation at which each came
        records.held = self._held.keys()  # as it is at any time
        self._generations: dict[Place, int] = {}
        self._written: dict[str, object] = {}
        self._looks: dict[str, tuple[float, float]] = {}  # next look at what it learns from, and the pause behind it
        self._came = asyncio.Event()
        self._log = RepeatedLog(LOG, time.monotonic)

    def hold(self, consumer: "Consumer", partitions: "list[TopicPartition]", generation: int) -> None:
        """Hold partitions back that the group gives us, in its callback."""
        consumer.incremental_assign(partitions)
        if partitions:
            consumer.pause(partitions)
        self._came.set()
        self._held |= {(each.topic, each.partition): generation for each in partitions}

    async def serve(self, consumer: "Consumer") -> Never:
        """Create the channels of partitions that come, until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._held:
                try:
                    await self._begin(consumer)
                except MonitorError as error:
                    self._log.warning("begin", f"channels that come wait: {error}")
                    await asyncio.sleep(RETRY_S)

    async def keep(self) -> Never:
        """Keep the belongings that other workers write, until cancelled."""
        while True:
            came = await self.topic.came.get()
            try:
                await asyncio.to_thread(self._owner.keep, came.kind, came.value)
            except MonitorError as error:
                self.topic.ignore(came.key, str(error))
            finally:
                self.topic.came.task_done()

    async def write(self) -> Never:
        """Write what changed every few seconds, until cancelled."""
        while True:
            began_s = time.monotonic()
            if self._generations:
                try:
                    await self.topic.prepare()
                    changed = self._changed(await self._owner.documents(self._topics(self._generations)))
                    self._send(await asyncio.to_thread(_made, changed))
                    await asyncio.to_thread(self._send_belongings, dict(self._generations), MOST_AT_A_TIME)
                except (MonitorError, TimeoutError) as error:
                    self._log.warning("write", f"states not written: {error}")
            took_s = time.monotonic() - began_s
            await asyncio.sleep(max(WRITE_S - took_s, LEAST_REST * took_s))

    def give_up(self, places: Collection[Place]) -> None:
        """Write the states of the channels of partitions that others get; it blocks for at most some seconds."""
        ours = self._generations.keys() & set(places)
        if ours:
            try:
                self._send(_made(self._changed(self._owner.documents_now(self._topics(ours)))))
                self._send_belongings({place: self._generations[place] for place in ours})
                self.topic.flush(GOODBYE_S)
            except (MonitorError, TimeoutError) as error:
                LOG.warning("states not written before partitions go: %s", error)

    def lose(self, places: Collection[Place]) -> None:
        """Forget partitions that others have."""
        for place in places:
            self._held.pop(place, None)
            self._generations.pop(place, None)

    def end(self) -> None:
        """Forget all partitions, with a consumer that has ended."""
        self.lose([*self._held, *self._generations])
        self._looks.clear()

    def _topics(self, places: Collection[Place]) -> set[str]:
        return {topic for topic, place in self._records.keys.items() if place in places}

    def _changed(self, documents: Iterable[Document]) -> list[tuple[Document, Position, int]]:
        """The documents that were not written yet, with position and generation; those without a mark are left out."""
        found = []
        for one in documents:
            position = self._positions.of(one.topic, one.axis, one.at, one.warmup_samples, one.last_sample_at_s)
            generation = None if position is None else self._generations.get(position.place)
            version = (one.version, generation)
            if position is not None and generation is not None and self._written.get(one.key) != version:
                self._written[one.key] = version
                self._positions.forget_before(one.topic, position.offset)
                found.append((one, position, generation))
        return found

    def _send(self, made: list[tuple[str, Position, int, bytes]]) -> None:
        for key, position, generation, value in made:
            if position.place in self._generations:  # else it was let go of while the document was made
                self.topic.write(key, position, value, generation)

    def _send_belongings(self, generations: Mapping[Place, int], most: int | None = None) -> None:
        """Write what changed and belongs to the channels of partitions; on any thread.

        Args:
            generations: by partition.
            most: most baselines, and most files of what channels learn from, of those whose turn it is; None: all, as
                far as they are written in :data:`LEARNING_GOODBYE_S`.
        """
        places = dict(self._records.keys)
        ours = {topic: generations[place] for topic, place in places.items() if place in generations}
        for one in [one for one in self._owner.baselines(ours) if self._changes(one)][:most]:
            self._send_one(one, ours)
        began_s, sent = time.monotonic(), 0
        at_s = {topic: self._looks.get(topic, (0.0, WRITE_S))[0] for topic in ours}
        due = sorted((topic for topic in ours if most is None or at_s[topic] <= began_s), key=at_s.__getitem__)
        for one in self._owner.learning(due):
            if sent == most or (most is None and time.monotonic() - began_s > LEARNING_GOODBYE_S):
                break
            _, pause_s = self._looks.get(one.topic, (0.0, WRITE_S))
            self._looks[one.topic] = began_s + pause_s, min(LEARNING_S, 2 * pause_s)
            if self._changes(one):
                self._send_one(one, ours)
                sent += 1

    def _changes(self, one: Belonging) -> bool:
        """Whether it is another one than the state topic has."""
        return bool(one.mark) and self.topic.belongings.get(key_of(one.key, one.kind), (0, ""))[1] != one.mark

    def _send_one(self, one: Belonging, generations: Mapping[str, int]) -> None:
        self.topic.write_belonging(one.key, one.kind, one.mark, one.value(), generations[one.topic])

    async def _begin(self, consumer: "Consumer") -> None:
        places = set(self._held)
        self._owner.attend()
        try:
            async with asyncio.timeout(HELD_S):
                await self.topic.caught_up()
                await self.topic.came.join()
        except TimeoutError:
            LOG.error(  # noqa: TRY400 - a traceback says nothing
                "the state topic cannot be read, channels that come begin anew: topic=%s partitions=%d",
                self._settings.state_topic,
                len(places),
            )
        if self.topic.problem:
            raise MonitorError(self.topic.problem)
        known = await asyncio.to_thread(_committed, consumer, places)
        for place, (committed, low) in known.items():
            if place in self._held:
                await self._begin_one(consumer, place, committed, low)

    async def _begin_one(self, consumer: "Consumer", place: Place, committed: int, low: int) -> None:
        """Begin with a partition: with the channels that are in it, and then with its records."""
        states, generation = self.topic.of({place}), self._held[place]
        newest = max((kept.generation for kept in states.values()), default=-1)
        # The generations of a group that was deleted begin anew.
        own = generation if generation > newest else newest + 1 + max(0, generation)
        at_s = max((kept.position.last_sample_at_s for kept in states.values()), default=0.0)
        starts: dict[str, int] = {}
        begins = [committed] if committed >= 0 else []
        # Channels of an earlier run lack what happened since. Which partition they were in need not be known any more.
        self._receiver.leave(self._topics({place}) | {kept.position.sensor for kept in states.values()})
        for sensor, kept in _by_sensor(states).items():
            offsets = {each.position.offset for each in kept}
            live = max(each.position.last_sample_at_s for each in kept) >= at_s - LIVE_S
            rewinds = live and len(offsets) == 1 and min(offsets) >= low
            self._records.keys[sensor] = place
            taken = [self._take(each, rewinds=rewinds) for each in kept]
            if any(taken):
                begins += [min(offsets)] * rewinds
                starts[sensor] = min(offsets) if rewinds else max(each.position.read for each in kept) + 1
            await asyncio.sleep(0)
            if self._held.get(place) != generation:
                return  # it was taken from us meanwhile, and with it the channels that came so far
        begin = max(low, min(begins)) if begins else -1
        self._go_on(consumer, place, begin)
        self._generations[place] = own
        self._records.add(place, starts)
        del self._held[place]
        LOG.info(
            "partition begun: %s[%d] from=%d committed=%d topics=%d generation=%d",
            *place, begin, committed, len(starts), own,
        )  # fmt: skip

    def _go_on(self, consumer: "Consumer", place: Place, begin: int) -> None:
        """Read a partition from an offset on; -1: from where the group's rule says."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            if begin >= 0:
                consumer.seek(TopicPartition(*place, begin))
            consumer.resume([TopicPartition(*place)])
        except KafkaException as error:
            raise MonitorError(f"{place[0]}[{place[1]}] cannot be read from {begin}: {said(error)}") from error

    def _take(self, kept: KeptState, *, rewinds: bool) -> bool:
        """Create one channel; returns whether it is there."""
        try:
            replayed_s = self._owner.take(kept.value, kept.position, rewinds=rewinds)
        except ValueError as error:
            self.topic.ignore(kept.position.sensor, str(error))
            return False
        self.replayed_s += replayed_s or 0.0
        return replayed_s is not None


def _by_sensor(states: Mapping[str, KeptState]) -> dict[str, list[KeptState]]:
    """The states of the axes of each sensor, whose samples are in the same records."""
    found: dict[str, list[KeptState]] = {}
    for kept in states.values():
        found.setdefault(kept.position.sensor, []).append(kept)
    return found


def _made(changed: list[tuple[Document, Position, int]]) -> list[tuple[str, Position, int, bytes]]:
    return [(one.key, position, generation, one.value()) for one, position, generation in changed]


def _committed(consumer: "Consumer", places: Collection[Place]) -> dict[Place, tuple[int, int]]:
    """The group's position of each partition, -1 if it has none, and its first offset.

    Raises:
        MonitorError: the cluster does not answer.
    """
    from confluent_kafka import KafkaException, TopicPartition

    asked = [TopicPartition(*place) for place in places]
    found: dict[Place, tuple[int, int]] = {}
    try:
        for each in consumer.committed(asked, timeout=ANSWER_S):
            low, _ = consumer.get_watermark_offsets(TopicPartition(each.topic, each.partition), timeout=ANSWER_S)
            found[each.topic, each.partition] = max(-1, each.offset), low
    except KafkaException as error:
        raise MonitorError(f"no positions of the group: {said(error)}") from error
    return found
