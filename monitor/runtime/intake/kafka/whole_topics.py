"""All partitions of topics, read without a group: measured quantities for every daemon of a group, and recordings.

A group gives a partition to one of its members. A value such as a speed belongs to channels of any partition, so every
daemon reads all of them. Nothing is committed: reading begins at an instant, or at the end. Does not handle: what a
record means (``records``).
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from monitor.config.kafka import Kafka
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka.client import consumer_options, make_consumer, partitions_of, said
from monitor.runtime.intake.kafka.places import Place
from monitor.runtime.intake.kafka.records import PAUSE_S, Records
from monitor.runtime.intake.source import Receiver
from monitor.runtime.log.logs import RepeatedLog

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

LOG = logging.getLogger(__name__)

LOOK_S = 10.0
"""Seconds between two looks for new partitions, and for topics that did not exist. Longer: they are read later."""

ANSWER_S = 5.0
"""Longest wait for an answer, on a thread. Shorter: a slow cluster is taken for one that does not answer."""


class WholeTopics:
    """Reads all partitions of some topics."""

    def __init__(self, settings: Kafka, topics: Sequence[str], receiver: Receiver, age_s: float = 0.0) -> None:
        """Make a reader; :meth:`run` connects.

        Args:
            settings: the section ``kafka``.
            topics: topics of Kafka.
            receiver: takes the messages, on the event loop.
            age_s: seconds before now from which on records are read.
        """
        self.missing: list[str] = []
        """The topics that the cluster does not have, or does not show us."""
        self.last_error = ""
        """The last error of the client; empty: none came."""
        self._settings = settings
        self._topics = tuple(topics)
        self._age_s = age_s
        self._log = RepeatedLog(LOG, time.monotonic)
        self._records = Records(settings, receiver, self._told)

    async def run(self) -> None:
        """Read until cancelled.

        Raises:
            MonitorError: the cluster does not answer.
        """
        consumer = await asyncio.to_thread(self._make_consumer)
        try:
            await self._look(consumer, time.time() - self._age_s)
            looked_s = time.monotonic()
            while True:
                more = self._records.turn(consumer)
                if time.monotonic() - looked_s > LOOK_S:
                    looked_s = time.monotonic()
                    try:
                        await self._look(consumer, 0.0)
                    except MonitorError as error:
                        self._log.warning("look", f"Kafka: {error}")
                await asyncio.sleep(0 if more else PAUSE_S)
        finally:
            self._records.end()
            await asyncio.shield(asyncio.to_thread(consumer.close))

    def _make_consumer(self) -> "Consumer":
        options: dict[str, Any] = {
            "group.id": self._settings.group,  # librdkafka wants one; the group hears nothing of it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "error_cb": self._told,
        }
        return make_consumer({**options, **consumer_options(self._settings)})

    async def _look(self, consumer: "Consumer", from_s: float) -> None:
        """Read the partitions that are not read yet, from an instant in UNIX seconds on."""
        found, self.missing = await asyncio.to_thread(partitions_of, self._settings, self._topics, ANSWER_S)
        new = [place for place in found if place not in self._records.positions]
        if new:
            begins = await asyncio.to_thread(_begins, consumer, new, from_s)
            for place in new:
                self._records.add(place)
            consumer.incremental_assign(begins)

    def _told(self, error: "KafkaError") -> None:
        self.last_error = said(error)
        self._log.warning(error.name(), f"Kafka: url={self._settings.url} error={said(error)}")


def _begins(consumer: "Consumer", places: Sequence[Place], at_s: float) -> "list[TopicPartition]":
    """The position of each partition at an instant, in UNIX seconds; its end, if nothing came since.

    Raises:
        MonitorError: the cluster does not answer.
    """
    from confluent_kafka import KafkaException, TopicPartition

    try:
        return consumer.offsets_for_times(
            [TopicPartition(topic, number, max(0, round(at_s * 1000))) for topic, number in places], timeout=ANSWER_S
        )
    except KafkaException as error:
        raise MonitorError(f"no positions of {places[0][0]}: {said(error)}") from error
