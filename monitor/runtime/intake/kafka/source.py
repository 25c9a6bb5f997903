"""One member of a consumer group: the broker gives it partitions, and it hands their records on.

librdkafka keeps the connections alive and joins the group again by itself. A new consumer is made only after an error
that it calls fatal. The group speaks the protocol of KIP-848 where the brokers have it. Positions are committed by
librdkafka every few seconds, and when partitions are given up. Does not handle: what a record means (``records``).
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from monitor.config.kafka import Kafka
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka.client import consumer_options, make_consumer, partitions_of, said
from monitor.runtime.intake.kafka.generation import NONE, generation_of
from monitor.runtime.intake.kafka.ownership import Owner, Ownership
from monitor.runtime.intake.kafka.places import KeptPlaces
from monitor.runtime.intake.kafka.records import PAUSE_S, Records
from monitor.runtime.intake.kafka.state_topic import StateTopic
from monitor.runtime.intake.kafka.statistics import read_statistics
from monitor.runtime.intake.kafka.whole_topics import ANSWER_S, WholeTopics
from monitor.runtime.intake.kafka.writer import Writer
from monitor.runtime.intake.source import Receiver, SourceState
from monitor.runtime.log.logs import RepeatedLog

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

LOG = logging.getLogger(__name__)

RETRY_S = 5.0
"""Seconds before a new consumer is made after a fatal error. Shorter: a cluster that refuses us is asked too often.
Longer: the daemon is without records for longer."""

LOOK_S = 10.0
"""Seconds between two looks for topics that have no partition of ours. Longer: a topic that does not exist is reported
later."""


SETTLED_S = 60.0
"""Seconds after joining within which partitions still come, because others have to give them up first. Shorter:
channels of an earlier run lose their alarm state. Longer: channels that others have are shown as silent for longer."""

CONSUMER_REQUEST = "ConsumerGroupHeartbeat"
"""The request of the protocol of KIP-848."""


@dataclass
class KafkaState(SourceState):
    """State of the membership in the group."""

    rebalances: int = 0
    """How often partitions came or went."""
    lag_records: int = 0
    """Records of our partitions that are still to be read."""
    behind_s: float = 0.0
    """Seconds since all records of a partition were last read, of the one that is furthest behind; 0: all are read."""
    protocol: str = ""
    """Protocol that the group speaks."""
    generation: int = NONE
    """Generation of the group when our present partitions were assigned."""
    ownership: Ownership | None = None
    """What moves with the channels; None: nothing does."""
    missing: list[str] = field(default_factory=list)
    """Configured topics that the cluster does not have, or does not show us."""

    @property
    def problem(self) -> str:
        """Why the connection is not ready, for the readiness answer; empty when it is."""
        if self.missing:
            return (
                f"no topic {', '.join(self.missing)}; create it, allow the account to read it, or correct kafka.topic"
            )
        return super().problem


class _LostError(MonitorError):
    """The consumer cannot go on; another one may."""


class KafkaSource:
    """Keeps one membership in the group alive."""

    def __init__(
        self,
        settings: Kafka,
        receiver: Receiver,
        longest_age_s: float = 0.0,
        state_dir: Path | None = None,
        owner: Owner | None = None,
    ) -> None:
        """Make a source; :meth:`run` connects.

        Args:
            settings: the section ``kafka``; its files are read again for each consumer.
            receiver: takes the messages, on the event loop.
            longest_age_s: seconds for which the longest-lived measured quantity holds.
            state_dir: keeps which partition each channel is in; None: nothing is kept.
            owner: has the state that moves with the channels, if there is a topic for it.
        """
        self.state = KafkaState()
        self._settings = settings
        self._receiver = receiver
        self._classic = settings.protocol == "classic"
        self._fatal: KafkaError | None = None
        self._closing = False
        self._brokers_up = False
        self._looked_s = time.monotonic()
        self._log = RepeatedLog(LOG, time.monotonic)
        self._joined_s = math.inf
        self._writer = Writer(settings)
        self._places = KeptPlaces(state_dir)
        self._records = Records(settings, receiver, self._told)
        self._ends: frozenset[int] = frozenset()
        self._member: Consumer | None = None
        self._ownership: Ownership | None = None
        if settings.state_topic is not None and owner is not None:
            topic = StateTopic(settings, settings.state_topic)
            self._ownership = Ownership(settings, topic, owner, receiver, self._records)
        self.state.ownership = self._ownership
        self._quantities: WholeTopics | None = None
        if settings.conditions_topic is not None:
            self._quantities = WholeTopics(settings, [settings.conditions_topic], receiver, longest_age_s)

    async def run(self) -> None:
        """Be a member of the group, and read measured quantities and states of channels, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._be_member(), name="kafka group")
            if self._quantities is not None:
                again = self._again(self._quantities.run, "no measured quantities from Kafka")
                tasks.create_task(again, name="kafka quantities")
            if self._ownership is not None:
                again = self._again(self._ownership.topic.run, "no states of channels from Kafka")
                tasks.create_task(again, name="kafka states")
                tasks.create_task(self._ownership.keep(), name="kafka belongings")

    async def _be_member(self) -> Never:
        self._records.keys.update(await asyncio.to_thread(self._places.load))
        while True:
            pause_s = RETRY_S
            try:
                await self._membership()
            except MonitorError as error:
                self._receiver.leave(self._records.end())  # others may have the partitions by now
                if self._lacks_protocol():
                    LOG.info("the brokers lack the group protocol 'consumer' (KIP-848); taking 'classic'")
                    self._classic, pause_s = True, 0.0
                else:
                    self.state.last_error = str(error)
                    self._log.warning(
                        str(error), f"no Kafka: url={self._settings.url} error={error} next_try_s={RETRY_S}"
                    )
            finally:
                self.state.connected, self._joined_s = False, math.inf
            await asyncio.sleep(pause_s)

    async def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> bool:  # noqa: ARG002
        """Write a record to the Kafka topic before the first ``/``, with the rest as its key; an empty one deletes it.

        A topic that is compacted keeps the last record of each key, as MQTT retains a message.
        """
        name, _, key = topic.partition("/")
        return self.state.connected and await self._writer.write(name, key, payload)

    async def close(self) -> None:
        """Wait until the last events are written; leaving the group commits the positions."""
        await self._writer.close()

    async def _membership(self) -> Never:
        """Read as a member until cancelled.

        Raises:
            MonitorError: why it ended.
        """
        self._fatal = None
        self._require_states()
        consumer = self._member = await asyncio.to_thread(self._make_consumer)
        moving = [] if self._ownership is None else [self._ownership.serve(consumer), self._ownership.write()]
        beside = [asyncio.create_task(each, name="kafka ownership") for each in moving]
        try:
            consumer.subscribe(
                list(self._settings.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            while True:
                self._require_states()
                for task in beside:
                    if task.done():
                        task.result()
                more = self._records.turn(consumer)
                if self._fatal is not None:
                    raise _LostError(said(self._fatal))
                if time.monotonic() - self._looked_s > LOOK_S:
                    self._looked_s = time.monotonic()
                    self._leave_what_is_elsewhere()
                    await asyncio.to_thread(self._places.save, dict(self._records.keys))
                    await self._look_for_topics()
                await asyncio.sleep(0 if more else PAUSE_S)
        except asyncio.CancelledError:
            if self._ownership is not None:
                self._ownership.give_up(list(self._records.positions))
            raise
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._closing, self._member = True, None
            await asyncio.shield(asyncio.to_thread(self._close, consumer))
            self._closing = False
            if self._ownership is not None:
                self._ownership.end()  # whatever ended it: from here on nothing is written as the owner

    def _require_states(self) -> None:
        """Require that the states of the channels can be read.

        Raises:
            MonitorError: another version wrote them.
        """
        if self._ownership is not None and self._ownership.topic.problem:
            raise MonitorError(self._ownership.topic.problem)

    def _close(self, consumer: "Consumer") -> None:
        self._places.save(dict(self._records.keys))
        consumer.close()

    def _leave_what_is_elsewhere(self) -> None:
        """Let go of the channels of an earlier run whose partitions others have."""
        if self.state.connected and time.monotonic() - self._joined_s > SETTLED_S:
            topics = self._records.elsewhere()
            if topics:
                LOG.info("channels of %d topics are in partitions that others have", len(topics))
            self._receiver.leave(topics)

    def _make_consumer(self) -> "Consumer":
        from confluent_kafka import KafkaError

        settings = self._settings
        # After a refusal the next consumer reads password and certificates again.
        self._ends = frozenset({KafkaError._FATAL, KafkaError._AUTHENTICATION, KafkaError._SSL})  # noqa: SLF001
        self.state.protocol = "classic" if self._classic else "consumer"
        options: dict[str, Any] = {
            "group.id": settings.group,
            "group.protocol": self.state.protocol,
            "auto.offset.reset": settings.start,
            "error_cb": self._told,
            "stats_cb": self._counted,
        }
        if self._classic:
            options["partition.assignment.strategy"] = "cooperative-sticky"
        return make_consumer({**options, **consumer_options(settings)})

    def _assigned(self, consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        self.state.rebalances += 1
        self.state.generation = self._writer.generation = generation_of(consumer)
        self._writer.owner_since_s = time.time()
        if self._ownership is not None:
            self._ownership.hold(consumer, partitions, self.state.generation)
        else:
            for each in partitions:
                self._records.add((each.topic, each.partition))
        LOG.info(
            "partitions assigned: %s all=%d",
            _shown(partitions),
            len(self._records.positions.keys() | self._records.held),
        )

    def _revoked(self, consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        if self._ownership is not None and not self._closing:
            self._ownership.give_up([(each.topic, each.partition) for each in partitions])
        self._lost(consumer, partitions)

    def _lost(self, consumer: "Consumer", partitions: "list[TopicPartition]") -> None:  # noqa: ARG002
        if self._closing:  # on a thread; the daemon stops, or goes on with another consumer
            return
        self.state.rebalances += 1
        places = {(each.topic, each.partition) for each in partitions}
        if self._ownership is not None:
            self._ownership.lose(places)
        topics = self._records.forget(places)
        LOG.info("partitions given up: %s channels of %d topics", _shown(partitions), len(topics))
        self._receiver.leave(topics)

    def _counted(self, text: str) -> None:
        """Take librdkafka's report."""
        statistics = read_statistics(text)
        lags = statistics.lags(self._records.positions)
        self.state.lag_records, self.state.behind_s = sum(lags.values()), self._records.behind_s(lags)
        self._brokers_up = statistics.brokers_up > 0
        # A member that there is no partition for stands by; only its generation tells that it has joined.
        stands_by = statistics.without_partitions and self._member is not None and generation_of(self._member) > 0
        connected = (statistics.in_group or stands_by) and self._brokers_up
        if connected and not self.state.connected:
            self.state.connections += 1
            self._joined_s = time.monotonic()
            LOG.info(
                "in the group: url=%s group=%s protocol=%s",
                self._settings.url,
                self._settings.group,
                self.state.protocol,
            )
        elif not connected and self.state.connected:
            self.state.last_error = "no broker answers" if not self._brokers_up else "joining the group"
        self.state.connected = connected

    def _told(self, error: "KafkaError") -> None:
        """Take an error of the client, or one in the place of a record."""
        if not self.state.connected:
            self.state.last_error = said(error)
        if error.fatal() or error.code() in self._ends:
            self._fatal = error
            return
        self._log.warning(error.name(), f"Kafka: url={self._settings.url} error={said(error)}")

    def _lacks_protocol(self) -> bool:
        """Whether the consumer ended because the brokers lack the protocol; librdkafka says it in words only."""
        tried = self._settings.protocol == "auto" and not self._classic
        return tried and self._fatal is not None and CONSUMER_REQUEST in said(self._fatal)

    async def _look_for_topics(self) -> None:
        """Find out which topics without a partition of ours do not exist; a group says nothing of them."""
        read = self._records.positions.keys() | self._records.held
        without = tuple({*self._settings.topics} - {topic for topic, _ in read})
        missing: list[str] = []
        if without and self._brokers_up:
            try:
                _, missing = await asyncio.to_thread(partitions_of, self._settings, without, ANSWER_S)
            except MonitorError as error:
                self._log.warning("look", f"Kafka: no list of topics: {error}")
                return
        if self._quantities is not None:
            missing += self._quantities.missing
        if self._ownership is not None and self._ownership.topic.missing:
            missing.append(self._settings.state_topic or "")
        if missing and missing != self.state.missing:
            named = ", ".join(missing)
            LOG.error("no topic %s in the cluster; records come once it is there: url=%s", named, self._settings.url)
        self.state.missing = missing

    async def _again(self, run: Callable[[], Awaitable[None]], without: str) -> Never:
        """Read something beside the group until cancelled."""
        while True:
            try:
                await run()
            except MonitorError as error:
                self._log.warning(without, f"{without}: {error} next_try_s={RETRY_S:g}")
            await asyncio.sleep(RETRY_S)


def _shown(partitions: "list[TopicPartition]") -> str:
    return ",".join(f"{each.topic}[{each.partition}]" for each in partitions) or "none"
