"""Records that the daemon writes in great numbers: handed to librdkafka one by one, sent in batches, never waited for.

librdkafka keeps what is to be sent in a bounded queue and sends it on threads of its own. A record that finds the queue
full, or that the brokers do not take, is counted and dropped. The producer is idempotent, so a retry writes no record
twice. Does not handle: what a record says; records that must arrive (``writer``).
"""

import asyncio
import logging
import time
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from monitor.config.kafka import Kafka
from monitor.errors import ConfigurationError
from monitor.runtime.intake.kafka.client import METADATA_S, client_options, make_producer, said
from monitor.runtime.intake.kafka.writer import GOODBYE_S
from monitor.runtime.log.logs import RepeatedLog

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

LOG = logging.getLogger(__name__)

QUEUE_RECORDS = 100_000
"""Most records that wait to be sent, a hundred seconds of a thousand channels. Fewer: a short outage loses some. More:
memory, 1 kB each."""

QUEUE_KIB = 64 * 1024
"""Most KiB that wait to be sent. Less, or more: likewise."""

LINGER_S = 0.02
"""Wait for more records before a batch is sent. Shorter: more and smaller requests. Longer: records arrive later."""

RETRY_S = 5.0
"""Seconds before another producer is made after one that failed for good. Shorter: a cluster that refuses us is asked
too often. Longer: more records are dropped."""


class Reason(StrEnum):
    """Why a record was not written; the values of the metric's label ``reason``."""

    QUEUE_FULL = "queue_full"
    """Too many wait: the brokers are away, or too slow."""
    REFUSED = "refused"
    """The brokers did not take it: there is no such topic, or the account may not write it, or it waited too long."""


class StreamWriter:
    """Writes records of one topic."""

    def __init__(self, settings: Kafka, topic: str, dropped: Counter[Reason]) -> None:
        """Make a writer; :meth:`open` makes its producer.

        Args:
            settings: the section ``kafka``.
            topic: the topic to write.
            dropped: counts the records that are not written.
        """
        self.settings, self.topic = settings, topic
        self._dropped = dropped
        self._producer: Producer | None = None
        self._failed = False
        self._handed = self._lost = self._written = 0
        self._next_try_s = 0.0
        self._log = RepeatedLog(LOG, time.monotonic)

    @property
    def written(self) -> int:
        """Records that the brokers have taken; it only grows."""
        waiting = 0 if self._producer is None else len(self._producer)  # librdkafka's own news count, too
        self._written = max(self._written, self._handed - self._lost - waiting)
        return self._written

    @property
    def handed(self) -> int:
        """Records that were handed over."""
        return self._handed

    def is_answered(self, handed: int) -> bool:
        """Whether the brokers have answered for so many of the records that were handed over, or there are none."""
        return self._producer is None or self._handed - len(self._producer) >= handed

    def flush(self, wait_s: float) -> None:
        """Wait until everything is written, but at most so long; it blocks."""
        if self._producer is not None:
            self._producer.flush(wait_s)

    async def open(self) -> bool:
        """Make the producer if there is none; returns whether there is one."""
        if self._failed:
            await self.close(0.0)
        if self._producer is None and time.monotonic() >= self._next_try_s:
            try:
                self._producer = await asyncio.to_thread(self._make_producer)
            except ConfigurationError as error:
                self._log.warning("make", f"nothing is written: topic={self.topic} error={error}")
                self._next_try_s = time.monotonic() + RETRY_S
        return self._producer is not None

    def write(self, key: bytes, value: bytes, at_ms: int) -> None:
        """Hand one record over, which has the time ``at_ms`` (UNIX milliseconds); it never waits."""
        from confluent_kafka import KafkaException

        try:
            if self._producer is not None:
                self._producer.produce(self.topic, value, key, timestamp=at_ms)
                self._handed += 1
        except BufferError:
            self._drop(Reason.QUEUE_FULL, "too many records wait")
        except KafkaException as error:
            self._drop(Reason.REFUSED, said(error))

    def serve(self) -> None:
        """Take what librdkafka has to say, without waiting; call it several times a second."""
        if self._producer is not None:
            self._producer.poll(0)

    async def close(self, wait_s: float = GOODBYE_S) -> None:
        """Wait until everything is written, but at most ``wait_s``; what is left is dropped."""
        if self._producer is None:
            return
        producer, self._producer, self._failed = self._producer, None, False
        left = await asyncio.to_thread(producer.flush, wait_s)
        if left:
            self._lost += left
            self._dropped[Reason.REFUSED] += left
            producer.purge(blocking=False)
        self._next_try_s = time.monotonic() + RETRY_S

    def _make_producer(self) -> "Producer":
        options: dict[str, Any] = {
            "topic.metadata.propagation.max.ms": round(METADATA_S * 1000),
            **client_options(self.settings),
            "linger.ms": LINGER_S * 1000,
            "compression.type": "lz4",
            "topic.metadata.refresh.interval.ms": round(METADATA_S * 1000),  # a topic may come later
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": QUEUE_KIB,
            "delivery.report.only.error": True,
            "on_delivery": self._answered,
            "error_cb": self._told,
        }
        return make_producer(options)

    def _answered(self, error: "KafkaError | None", record: "Message") -> None:  # noqa: ARG002 - librdkafka's
        if error is not None:
            self._lost += 1
            self._drop(Reason.REFUSED, said(error))

    def _told(self, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError as Errors

        if error.fatal() or error.code() in {Errors._AUTHENTICATION, Errors._SSL}:  # noqa: SLF001 - its names
            self._failed = True  # password and certificates are read again for the next one

    def _drop(self, reason: Reason, why: str) -> None:
        self._dropped[reason] += 1
        self._log.warning(reason, f"record not written: topic={self.topic} reason={why}")
