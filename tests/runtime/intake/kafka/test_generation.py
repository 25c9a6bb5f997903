"""The generation in librdkafka's description of a membership."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer

from monitor.runtime.intake.kafka.generation import NONE, generation_of


@pytest.mark.parametrize(
    ("described", "generation"),
    [
        (b"CGMDv2:\x07\x00\x00\x00group\x00member\x00\x01", 7),
        (b"CGMDv2:\x00\x01\x00\x00group\x00member\x00\x01", 256),
        (b"CGMDv2:\x07\x00", NONE),
        (b"CGMDv3:\x07\x00\x00\x00", NONE),
        (None, NONE),
    ],
)
def test_the_generation_is_read(described: bytes | None, generation: int) -> None:
    consumer: Any = SimpleNamespace(consumer_group_metadata=lambda: described)
    assert generation_of(consumer) == generation


def test_librdkafka_still_describes_a_membership_so() -> None:
    consumer = Consumer({"group.id": "g", "bootstrap.servers": "127.0.0.1:9"})
    described: Any = consumer.consumer_group_metadata()
    assert bytes(described).startswith(b"CGMDv2:")
    assert generation_of(consumer) == NONE  # it has not joined
    consumer.close()
