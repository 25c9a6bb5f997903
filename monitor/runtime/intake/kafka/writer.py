"""Records that the daemon writes: alarm events and changes of baselines, each keyed by its channel.

The producer is idempotent, so a retry writes no record twice. Each record says who wrote it, since when that one had
its present partitions, and the ``generation`` of the group at that time. Of two records about one channel the owner's
has the higher generation, so what a frozen daemon writes when it wakes is recognised. Does not handle: what waits and
what is dropped (``alarms.publisher``).
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from monitor.config.kafka import Kafka
from monitor.errors import ConfigurationError
from monitor.runtime.intake.kafka.client import METADATA_S, client_options, make_producer, said
from monitor.runtime.intake.kafka.generation import NONE
from monitor.runtime.log.logs import RepeatedLog

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

LOG = logging.getLogger(__name__)

ACCEPTED_S = 10.0
"""Longest wait until a record is accepted, retries included. Shorter: a broker that restarts costs a further attempt.
Longer: a topic that does not exist delays the other events for longer."""

LOOK_S = 0.01
"""Seconds between two looks for the answer. Longer: events are slower one after the other."""

GOODBYE_S = 3.0
"""Longest wait for open answers while the daemon stops. Longer: systemd may kill it first."""


class Writer:
    """Writes one record after the other; the producer is made for the first one."""

    def __init__(self, settings: Kafka) -> None:
        self.owner_since_s = 0.0
        """UNIX seconds at which our present partitions were assigned; 0: none were."""
        self.generation = NONE
        """Generation of the group at which they were."""
        self._settings = settings
        self._producer: Producer | None = None
        self._log = RepeatedLog(LOG, time.monotonic)

    async def write(self, topic: str, key: str, value: str | bytes) -> bool:
        """Write one record; an empty value deletes what the topic has of the key. Returns whether it was accepted."""
        from confluent_kafka import KafkaException

        answers: list[KafkaError | None] = []

        def answered(error: "KafkaError | None", record: "Message") -> None:  # noqa: ARG001 - librdkafka's
            answers.append(error)

        headers: list[tuple[str, str | bytes | None]] = [
            ("writer", self._settings.client_id or ""),
            ("owner-since", f"{self.owner_since_s:.3f}"),
            ("generation", str(self.generation)),
        ]
        try:
            if self._producer is None:
                self._producer = await asyncio.to_thread(self._make_producer)
            self._producer.produce(topic, value or None, key, headers=headers, on_delivery=answered)
        except (ConfigurationError, BufferError, KafkaException) as error:
            why = said(error) if isinstance(error, KafkaException) else error
            self._log.warning("write", f"not written: topic={topic} key={key} error={why}")
            return False
        while not answers:
            self._producer.poll(0)
            await asyncio.sleep(LOOK_S)
        if answers[0] is not None:
            self._log.warning("write", f"not written: topic={topic} key={key} error={said(answers[0])}")
            return False
        return True

    async def close(self) -> None:
        """Wait for open answers, but not for long."""
        if self._producer is not None:
            await asyncio.to_thread(self._producer.flush, GOODBYE_S)

    def _make_producer(self) -> "Producer":
        later = {"topic.metadata.refresh.interval.ms": round(METADATA_S * 1000)}  # a topic may come later
        own = {"message.timeout.ms": round(ACCEPTED_S * 1000), "linger.ms": 0}
        return make_producer({**later, **client_options(self._settings), **own})
