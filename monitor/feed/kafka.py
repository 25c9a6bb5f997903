"""``replay`` and ``record`` at a Kafka cluster: records are sent, or read from the ends of all partitions.

Does not handle: what is sent when (``replay``), and what becomes of what was read (``record``).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from monitor.config.kafka import Kafka
from monitor.core.messages.rejection import Rejected
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka.client import client_options, make_producer, partitions_of, said
from monitor.runtime.intake.mqtt.direct_client import Deliver
from monitor.runtime.intake.source import Reached

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

ANSWER_S = 10.0
"""Longest wait for the cluster, at the beginning and at the end. Shorter: a slow one is taken for one that is away."""

FULL_S = 0.005
"""Pause while librdkafka's queue is full. Shorter: more work. Longer: a fast replay is slower."""


class KafkaPublisher:
    """Sends messages as records: the topic of a message becomes the key, and the header where one is configured."""

    def __init__(self, settings: Kafka, producer: "Producer") -> None:
        self._topic = settings.topics[0]
        self._header = settings.topic_header
        self._producer = producer
        self._failed = ""

    async def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:  # noqa: ARG002 - as an MQTT client's
        """Queue one record; waits while the queue is full.

        Raises:
            MonitorError: an earlier record was not accepted.
        """
        headers: list[tuple[str, str | bytes | None]] = [(self._header, topic.encode())] if self._header else []
        while True:
            self._producer.poll(0)
            self.require_accepted()
            try:
                self._producer.produce(self._topic, payload, topic, headers=headers, on_delivery=self._delivered)
            except BufferError:
                await asyncio.sleep(FULL_S)
            else:
                return

    def require_accepted(self) -> None:
        """Require that no record was refused so far; raises MonitorError otherwise."""
        if self._failed:
            raise MonitorError(self._failed)

    def _delivered(self, error: "KafkaError | None", record: "Message") -> None:  # noqa: ARG002 - librdkafka's
        if error is not None:
            self._failed = said(error)


@asynccontextmanager
async def kafka_publisher(settings: Kafka) -> AsyncIterator[KafkaPublisher]:
    """A publisher to the first topic of ``settings``; at the end all records are there.

    Raises:
        ConfigurationError: a file of the settings cannot be read, or librdkafka is not installed.
        MonitorError: the cluster does not answer, has no such topic, or refuses records.
    """
    await asyncio.to_thread(require_topics, settings)
    options = {"linger.ms": 5, "message.timeout.ms": round(ANSWER_S * 1000), **client_options(settings)}
    producer = make_producer(options)
    publisher = KafkaPublisher(settings, producer)
    try:
        yield publisher
    finally:
        left = await asyncio.to_thread(producer.flush, ANSWER_S)
    publisher.require_accepted()
    if left:
        raise MonitorError(f"{settings.url} has not confirmed the last {left} records")


def require_topics(settings: Kafka) -> None:
    """Require that the cluster answers and has the topics of ``settings``; blocks.

    Raises:
        MonitorError: it does not.
    """
    _, missing = partitions_of(settings, settings.topics, ANSWER_S)
    if missing:
        raise MonitorError(f"{settings.url} has no topic {', '.join(missing)}; create it, or name another")


class HandedOn:
    """Takes the messages of a source and hands each on; there is always room."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False, arrived_s: float | None = None) -> None:  # noqa: ARG002
        """Hand one message on."""
        self._deliver(topic, payload, retained)

    def has_room(self, topic: str) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def knows(self, topic: str) -> bool:  # noqa: ARG002
        """Nothing is let go of."""
        return False

    def reached(self, topic: str) -> Reached | None:  # noqa: ARG002
        """Nothing is read again."""
        return None

    def reject(self, topic: str, rejected: Rejected) -> None:
        """A record without a topic is nobody's."""

    def leave(self, topics: Iterable[str]) -> None:
        """Nothing is let go of."""
