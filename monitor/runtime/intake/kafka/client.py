"""What every client of a Kafka cluster is told, and what its errors say.

confluent-kafka is librdkafka: its threads fetch, decompress and check outside Python, and hold a bounded number of
bytes ready. It is imported here only. Does not handle: what a client does.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from monitor.config.kafka import Kafka
from monitor.errors import ConfigurationError, MonitorError
from monitor.extras import require
from monitor.runtime.credentials.secret import read_secret

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer

ErrorTold = Callable[["KafkaError"], None]
"""Takes an error that belongs to no record."""

READY_KIB = 32 * 1024
"""Most KiB of records that are fetched before they are asked for. Less: after a pause of the event loop records have to
be fetched first. More: memory of a daemon that falls behind."""

FETCH_BYTES = 8 * 2**20
"""Most bytes in one answer of a broker, though at least one batch of records. Fewer: more requests. More: a daemon that
falls behind takes more memory."""

ERROR_S = 0.05
"""Seconds before a failed fetch is tried again. Shorter: a cluster in trouble gets more requests. Longer: the records
of a batch that cannot be read are passed over more slowly."""

METADATA_S = 10.0
"""Seconds between two looks of librdkafka at the topics. Longer: new partitions are noticed later."""

STATISTICS_S = 1.0
"""Seconds between two reports of librdkafka. Longer: a lost broker is noticed later."""


def client_options(settings: Kafka) -> dict[str, Any]:
    """Options of any client of the cluster of ``settings``; reads the files that they name.

    Raises:
        ConfigurationError: confluent-kafka is not installed, or a file cannot be read.
    """
    require("confluent_kafka", "a Kafka cluster")
    options: dict[str, Any] = {
        **settings.options,
        "bootstrap.servers": settings.bootstrap,
        "client.id": settings.client_id or "vibration-monitor",
        "security.protocol": settings.security,
        "logger": logging.getLogger("librdkafka"),
    }
    files = {
        "ssl.ca.location": settings.tls.ca_file,
        "ssl.certificate.location": settings.tls.cert_file,
        "ssl.key.location": settings.tls.key_file,
    }
    options |= {name: str(file) for name, file in files.items() if file is not None}
    if settings.sasl.user is not None and settings.sasl.password_file is not None:
        options |= {
            "sasl.mechanism": settings.sasl.mechanism,
            "sasl.username": settings.sasl.user,
            "sasl.password": read_secret(settings.sasl.password_file, "kafka.sasl.password_file").reveal(),
        }
    return options


def consumer_options(settings: Kafka) -> dict[str, Any]:
    """Options of every consumer: bounded memory, positions that we move ourselves, and reports.

    Raises:
        ConfigurationError: as :func:`client_options`.
    """
    return {
        "queued.max.messages.kbytes": READY_KIB,
        "fetch.max.bytes": FETCH_BYTES,
        "max.partition.fetch.bytes": FETCH_BYTES,
        "fetch.error.backoff.ms": round(ERROR_S * 1000),
        "topic.metadata.refresh.interval.ms": round(METADATA_S * 1000),
        **client_options(settings),
        "allow.auto.create.topics": False,
        "enable.auto.offset.store": False,
        "statistics.interval.ms": round(STATISTICS_S * 1000),
    }


def make_consumer(options: dict[str, Any]) -> "Consumer":
    """A consumer, which connects on its own.

    Raises:
        ConfigurationError: librdkafka refuses an option.
    """
    from confluent_kafka import Consumer, KafkaException

    try:
        return Consumer(options)
    except (KafkaException, TypeError, ValueError) as error:
        raise ConfigurationError(f"kafka: librdkafka refuses the settings: {said(error)}") from error


def make_producer(options: dict[str, Any]) -> "Producer":
    """An idempotent producer, so that a retry writes no record twice; it connects on its own.

    Raises:
        ConfigurationError: librdkafka refuses an option.
    """
    from confluent_kafka import KafkaException, Producer

    try:
        return Producer({**options, "enable.idempotence": True})
    except (KafkaException, TypeError, ValueError) as error:
        raise ConfigurationError(f"kafka: librdkafka refuses the settings: {said(error)}") from error


def check_settings(settings: Kafka) -> None:
    """Check that a client can be made of the settings, its files and its options; connects to nobody.

    Raises:
        ConfigurationError: why not.
    """
    make_consumer({**consumer_options(settings), "group.id": settings.group}).close()


def said(error: "BaseException | KafkaError") -> str:
    """The words of an error, without the code that librdkafka puts before them."""
    inner = error.args[0] if isinstance(error, BaseException) and error.args else error
    text = getattr(inner, "str", None)
    return str(text() if callable(text) else inner)


def partitions_of(
    settings: Kafka, topics: tuple[str, ...], timeout_s: float
) -> tuple[list[tuple[str, int]], list[str]]:
    """The partitions of topics, and which topics the cluster does not have or does not show us.

    It blocks for at most ``timeout_s``.

    Raises:
        MonitorError: nobody answers.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    errors: list[str] = []
    options = {**client_options(settings), "error_cb": lambda error: errors.append(said(error))}
    client = AdminClient(options)
    try:
        known = client.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        client.poll(0)  # what went wrong is told here
        raise MonitorError(f"{settings.url} does not answer: {(errors or [said(error)])[0]}") from error
    missing = [topic for topic in topics if topic not in known or known[topic].error is not None]
    return [(topic, number) for topic in topics if topic not in missing for number in known[topic].partitions], missing


def is_compacted(settings: Kafka, topic: str, timeout_s: float) -> bool | None:
    """Whether a topic is compacted; None: nobody answers within ``timeout_s``, or we may not know."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

    asked = [ConfigResource(ResourceType.TOPIC, topic)]
    client = AdminClient(client_options(settings))  # it must live until the answer
    try:
        [answer] = client.describe_configs(asked, request_timeout=timeout_s).values()
        return "compact" in str(answer.result()["cleanup.policy"].value)
    except (KafkaException, KeyError):
        return None
