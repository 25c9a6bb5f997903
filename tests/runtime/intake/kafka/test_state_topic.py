"""Which records of the state topic are used, without a cluster."""

from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

from monitor.config.kafka import Kafka
from monitor.runtime.intake.kafka.positions import Position
from monitor.runtime.intake.kafka.state_topic import VERSION, Ignored, KeptState, StateTopic

POSITION = Position("v", 3, 10, 1000, 12, 1300, "plant/fan/x", 7.0)


class Record:
    """Stands for librdkafka's message."""

    def __init__(self, value: bytes | None, generation: str = "4", **said: Any) -> None:
        headers = [("version", VERSION.encode()), ("generation", generation.encode()), ("writer", b"hall-3"),
                   ("position", msgspec.json.encode(POSITION))]  # fmt: skip
        known = {"key": b"fan/x", "value": value, "headers": headers, "partition": 0, "offset": 5, "error": None}
        self._said: dict[str, Any] = {**known, **said}

    def __getattr__(self, name: str) -> Any:
        return lambda: self._said[name]


def topic(*records: Record) -> StateTopic:
    found = StateTopic(Kafka(state_topic="vibration.state"), "vibration.state")
    found._reached[0] = 0
    for record in records:
        message: Any = record
        found._take(message)
    return found


def test_the_newest_state_of_each_channel_is_kept() -> None:
    found = topic(Record(b"old"), Record(b"new"), Record(b"other", key=b"fan/y"))
    assert found.latest == {"fan/x": KeptState(4, POSITION, b"new"), "fan/y": KeptState(4, POSITION, b"other")}
    assert found.of({("v", 3)}).keys() == {"fan/x", "fan/y"}
    assert found.of({("v", 2), ("w", 3)}) == {}
    assert found._reached == {0: 6}


def test_what_a_frozen_worker_writes_when_it_wakes_is_not_used() -> None:
    found = topic(Record(b"first", "4"), Record(b"second", "5"), Record(b"late", "4"))
    assert found.latest["fan/x"] == KeptState(5, POSITION, b"second")
    assert found.ignored == {Ignored.OLD_GENERATION: 1}


def test_a_deleted_state_is_forgotten() -> None:
    assert topic(Record(b"first"), Record(None)).latest == {}


def test_a_record_of_another_version_is_an_error_until_it_is_gone() -> None:
    foreign = Record(b"first", headers=[("version", b"99")])
    assert topic(foreign).problem == (
        "kafka.state_topic vibration.state holds the state of 'fan/x' in version 99, this daemon reads and writes "
        "version 1; let all daemons of the group have one version, or name a new topic"
    )
    assert "in version unknown" in topic(Record(b"an event", headers=None)).problem
    assert topic(foreign, Record(None)).problem == ""
    assert topic(foreign, Record(b"new")).problem == ""
    assert topic(Record(b"new")).problem == ""


@pytest.mark.parametrize(("name", "value"), [("generation", b"x"), ("generation", b""), ("position", b"{}")])
def test_a_record_with_a_damaged_header_is_counted_and_costs_itself_only(name: str, value: bytes) -> None:
    headers = {**dict(Record(b"").headers()), name: value}
    found = topic(Record(b"good"), Record(b"bad", headers=list(headers.items())), Record(b"other", key=b"fan/y"))
    assert found.ignored == {Ignored.UNREADABLE: 1}
    assert {key: kept.value for key, kept in found.latest.items()} == {"fan/x": b"good", "fan/y": b"other"}


def test_the_end_of_a_partition_says_how_far_it_is_read() -> None:
    end = KafkaError(KafkaError._PARTITION_EOF)
    assert topic(Record(None, error=end, offset=9, partition=0))._reached == {0: 9}
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert topic(Record(None, error=refused, offset=9))._reached == {0: 0}


def baseline(value: bytes, generation: str = "4", mark: str = "a") -> Record:
    headers = {**dict(Record(b"", generation).headers()), "kind": b"baseline", "mark": mark.encode()}
    del headers["position"]
    return Record(value, key=b"fan/x baseline", headers=list(headers.items()))


def test_baselines_wait_to_be_looked_at_once_each() -> None:
    found = topic(baseline(b"first"), baseline(b"first"), baseline(b"late", "3"), baseline(b"second", "5", "b"))
    assert [found.came.get_nowait().value for _ in range(found.came.qsize())] == [b"first", b"second"]
    assert found.ignored == {Ignored.OLD_GENERATION: 1}
    assert found.belongings == {"fan/x baseline": (5, "b")}
    assert found.latest == {}
