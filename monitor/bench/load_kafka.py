"""A load over Kafka: a topic of its own, whose records librdkafka sends in batches on threads of its own.

The topic is made for the load and deleted after it. A load that is too much for the brokers waits for room in
librdkafka's queue, and so takes longer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from monitor.bench.load import Load, Sent, paced, payloads, steps, topic
from monitor.config.kafka import Kafka
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka.client import client_options, said

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

PARTITIONS = 4
"""Partitions of the topic, as a small plant has."""

ANSWER_S = 30.0
"""Longest wait for the cluster. Shorter: a slow one is taken for one that is away."""

FULL_S = 0.005
"""Wait while librdkafka's queue is full. Shorter: more work. Longer: a load that is too much is sent more slowly."""

QUEUE_KIB = 32 * 1024
"""Most KiB that wait to be sent. Fewer: a broker that pauses stops the load. More: memory, and records are older."""

BATCH_BYTES = 900_000
"""Largest batch, just below what brokers take by default. Smaller: more requests."""


@contextmanager
def own_topic(settings: Kafka, name: str) -> Iterator[Kafka]:
    """Make a topic for a load, and delete it afterwards; gives the settings with this topic.

    Raises:
        ConfigurationError: confluent-kafka is not installed, or a file of the settings cannot be read.
        MonitorError: the cluster does not answer, or refuses the topic.
    """
    options = client_options(settings)
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

    admin = AdminClient(options)
    try:
        admin.list_topics(timeout=ANSWER_S)
        for done in admin.create_topics([NewTopic(name, PARTITIONS, -1)]).values():
            done.result(ANSWER_S)
    except KafkaException as error:
        raise MonitorError(f"bench: no topic {name} can be made at {settings.url}: {said(error)}") from error
    try:
        yield settings.model_copy(update={"topic": name})
    finally:
        for done in admin.delete_topics([name]).values():
            done.result(ANSWER_S)


def send_load_kafka(settings: Kafka, load: Load) -> Sent:
    """Send a load to the topic of ``settings``; returns when the brokers have it.

    Raises:
        MonitorError: the brokers refuse records, or do not take them.
    """
    from confluent_kafka import Producer

    refused: list[KafkaError] = []

    def answered(error: "KafkaError | None", record: "Message") -> None:  # noqa: ARG001 - librdkafka's
        if error is not None:
            refused.append(error)

    producer = Producer(
        {
            "linger.ms": 5,
            "batch.size": BATCH_BYTES,
            "queue.buffering.max.kbytes": QUEUE_KIB,
            **client_options(settings),
            "delivery.report.only.error": True,
            "on_delivery": answered,
        }
    )
    values, borders, name = payloads(load), steps(load), settings.topics[0]
    keys = [topic(channel).encode() for channel in range(load.channels)]

    def send(number: int, step: int) -> None:
        value = values[number % len(values)]
        for key in keys[slice(*borders[step])]:
            _produce(producer, name, value, key)
        producer.poll(0)

    sent = paced(load, send, lambda: producer.flush(ANSWER_S))
    if refused or len(producer):
        why = said(refused[0]) if refused else f"{len(producer)} records were not taken within {ANSWER_S:g} s"
        raise MonitorError(f"load: sending to {settings.url} failed: {why}")
    return sent


def _produce(producer: "Producer", name: str, value: bytes, key: bytes) -> None:
    while True:
        try:
            producer.produce(name, value, key)
        except BufferError:
            producer.poll(FULL_S)
        else:
            return
