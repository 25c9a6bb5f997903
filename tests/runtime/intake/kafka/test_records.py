"""How records become messages, with a consumer that needs no cluster."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from monitor.config.file import parse_config
from monitor.config.kafka import Kafka
from monitor.core.messages.rejection import Reason, Rejected
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.records import RECORDS_A_TURN, STALL_S, Records
from monitor.runtime.intake.source import Reached

START_AT_S = 1_700_000_000.0


class Record:
    """Stands for librdkafka's message."""

    def __init__(
        self,
        key: bytes | None,
        offset: int,
        at_s: float = START_AT_S,
        partition: int = 0,
        headers: list[tuple[str, bytes]] | None = None,
        error: KafkaError | None = None,
    ) -> None:
        self._said: dict[str, Any] = {
            "key": key, "offset": offset, "timestamp": (1, round(at_s * 1000)), "partition": partition,
            "headers": headers, "error": error, "topic": "v", "value": b"%d" % offset,
        }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        return lambda: self._said[name]


class Cluster:
    """Stands for a consumer."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self.end = 0
        self.stored: dict[int, int] = {}
        self.paused: list[TopicPartition] = []
        self.asked = 0
        self.sought: list[tuple[str, int, int]] = []

    def consume(self, count: int, timeout: float) -> list[Record]:
        assert timeout == 0
        self.asked += 1
        taken, self.records = self.records[:count], self.records[count:]
        return taken

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached
        assert partition.topic == "v"
        return 0, self.end

    def seek(self, partition: TopicPartition) -> None:
        self.sought.append((partition.topic, partition.partition, partition.offset))

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("v", 0)]

    def pause(self, partitions: list[TopicPartition]) -> None:
        assert not self.paused
        self.paused = partitions

    def resume(self, partitions: list[TopicPartition]) -> None:
        assert partitions == self.paused
        self.paused = []

    def store_offsets(self, offsets: list[TopicPartition]) -> None:
        self.stored |= {each.partition: each.offset for each in offsets}


class Taken:
    """Takes messages."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.arrived_s: list[float | None] = []
        self.rejected: list[Rejected] = []
        self.full: set[str] = set()

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False, arrived_s: float | None = None) -> None:
        assert not retained
        self.messages.append((topic, payload))
        self.arrived_s.append(arrived_s)

    def has_room(self, topic: str) -> bool:
        return topic not in self.full

    def knows(self, topic: str) -> bool:
        return topic.startswith("fan")

    def reached(self, topic: str) -> Reached | None:
        raise AssertionError(topic)

    def reject(self, topic: str, rejected: Rejected) -> None:
        assert topic.startswith("v[0]@")
        self.rejected.append(rejected)

    def leave(self, topics: Iterable[str]) -> None:
        raise AssertionError(topics)


class Reader:
    """Records with clocks of its own: now is 1000 s, or START_AT_S."""

    def __init__(self, *records: Record, partitions: int = 1, **settings: Any) -> None:
        self.taken, self.cluster, self.errors = Taken(), Cluster(*records), list[KafkaError]()
        self.records = Records(Kafka(**settings), self.taken, self.errors.append)
        self.now_s = 1000.0
        self.records._clock = lambda: self.now_s
        self.records._wall_clock = lambda: START_AT_S - 1000.0 + self.now_s
        for number in range(partitions):
            self.records.add(("v", number))

    def turn(self) -> bool:
        consumer: Any = self.cluster
        return self.records.turn(consumer)


def test_the_key_is_the_topic_and_positions_move_behind_what_was_handed_on() -> None:
    reader = Reader(Record(b"fan/x", 7), Record(b"fan/y", 8), Record(b"fan/x", 3, partition=1), partitions=2)
    assert not reader.turn()
    assert reader.taken.messages == [("fan/x", b"7"), ("fan/y", b"8"), ("fan/x", b"3")]
    assert reader.cluster.stored == {0: 9, 1: 4}


def test_a_header_is_the_topic_where_one_is_configured() -> None:
    named = [("other", b"1"), ("mqtt.topic", b"fan/x")]
    reader = Reader(Record(b"sensor-17", 0, headers=named), Record(b"sensor-17", 1), topic_header="mqtt.topic")
    reader.turn()
    assert reader.taken.messages == [("fan/x", b"0")]
    assert [str(each) for each in reader.taken.rejected] == [
        "the record has no header mqtt.topic that is text, so its sensor is not known"
    ]


def test_records_without_a_topic_are_rejected_and_passed_over() -> None:
    reader = Reader(Record(None, 0), Record(b"\xff", 1), Record(b"fan/x", 2))
    reader.turn()
    assert [each.reason for each in reader.taken.rejected] == [Reason.UNKNOWN_TOPIC] * 2
    assert reader.taken.messages == [("fan/x", b"2")]
    assert reader.cluster.stored == {0: 3}


def test_an_error_in_the_place_of_a_record_is_told_and_costs_nothing_else() -> None:
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    reader = Reader(Record(b"fan/x", 0), Record(None, 0, error=error), Record(b"fan/x", 1))
    reader.turn()
    assert reader.errors == [error]
    assert len(reader.taken.messages) == 2


def test_a_batch_that_cannot_be_read_is_passed_over_record_by_record() -> None:
    error = KafkaError(KafkaError._BAD_COMPRESSION, "Decompression failed")
    bad = [Record(None, offset, error=error) for offset in (5, 5, 5, 30)]
    reader = Reader(*bad, Record(None, 7, partition=1, error=error))  # of a partition that is not ours
    reader.turn()
    assert reader.cluster.sought == [("v", 0, 6), ("v", 0, 7), ("v", 0, 8), ("v", 0, 31)]
    assert [each.reason for each in reader.taken.rejected] == [Reason.UNDECODABLE] * 4
    assert len(reader.errors) == 5


def test_records_wait_while_a_buffer_is_half_full_and_none_is_lost() -> None:
    reader = Reader(*(Record(b"fan/x" if i % 2 else b"fan/y", i) for i in range(2 * RECORDS_A_TURN)))
    reader.taken.full = {"fan/x"}
    assert not reader.turn()  # the pause lets the workers go on
    assert reader.taken.messages == [("fan/y", b"0")]
    assert reader.cluster.stored == {0: 1}
    assert not reader.turn()
    reader.taken.full = set()
    while reader.turn():
        pass
    reader.turn()
    assert [int(payload) for _, payload in reader.taken.messages] == list(range(2 * RECORDS_A_TURN))


def test_a_consumer_without_room_for_long_is_paused_and_its_callbacks_go_on() -> None:
    reader = Reader(*(Record(b"fan/x", i) for i in range(10)))
    reader.turn()
    reader.cluster.records = [Record(b"fan/x", i) for i in range(10, 20)]
    reader.cluster.end = 20
    reader.taken.full = {"fan/x"}
    reader.turn()
    asked = reader.cluster.asked
    reader.now_s += STALL_S / 2
    reader.turn()
    assert (reader.cluster.paused, reader.cluster.asked) == ([], asked)
    reader.now_s += STALL_S
    for _ in range(3):
        reader.turn()
    assert reader.cluster.paused
    assert reader.cluster.asked == asked + 3
    assert reader.records.behind_s([("v", 0), ("v", 1)]) == 1.5 * STALL_S
    assert reader.records.behind_s([]) == 0
    reader.taken.full = set()
    reader.turn()
    assert reader.cluster.paused == []
    assert len(reader.taken.messages) == 20


def test_a_full_batch_means_that_there_may_be_more() -> None:
    reader = Reader(*(Record(b"fan/x", i) for i in range(RECORDS_A_TURN + 1)))
    assert reader.turn()
    assert not reader.turn()


def test_records_of_a_partition_that_was_given_up_are_not_handed_on() -> None:
    reader = Reader(Record(b"fan/x", 0), Record(b"fan/y", 0, partition=1), Record(b"shop/z", 1), partitions=2)
    reader.turn()
    reader.cluster.records = [Record(b"fan/x", 1), Record(b"fan/y", 1, partition=1)]
    reader.taken.full = {"fan/x"}
    reader.turn()
    assert reader.records.forget({("v", 0)}) == ["fan/x"]  # shop/z has no channels
    reader.taken.full = set()
    reader.turn()
    assert reader.taken.messages[3:] == [("fan/y", b"1")]
    assert reader.cluster.stored == {0: 2, 1: 2}


def test_a_topic_whose_records_moved_to_another_partition_stays_when_the_old_one_goes() -> None:
    reader = Reader(Record(b"fan/x", 0), Record(b"fan/x", 0, partition=1), partitions=2)
    reader.turn()
    assert reader.records.forget({("v", 0)}) == []


def test_old_records_come_when_they_were_written_until_the_end_is_reached() -> None:
    old = [Record(b"fan/x", i, START_AT_S - 100 + i) for i in range(3)]
    reader = Reader(*old)
    reader.cluster.end = 4
    reader.turn()
    assert reader.taken.arrived_s == [900.0, 901.0, 902.0]
    # The clock of this sender is 50 s behind; once its records are live that means nothing.
    reader.cluster.records = [Record(b"fan/x", 3, START_AT_S - 50)]
    reader.turn()
    reader.cluster.records, reader.cluster.end = [Record(b"fan/x", 4, START_AT_S - 50)], 5
    reader.turn()
    assert reader.taken.arrived_s[3:] == [950.0, 1000.0]
    # A pause in which nothing was read: it is behind again, and what that clock says is known by now.
    reader.now_s += 4.0
    later = [Record(b"fan/x", 5 + i, START_AT_S - 50 + i) for i in (1, 2)] + [Record(b"fan/x", 8, START_AT_S + 99)]
    reader.cluster.records, reader.cluster.end = later, 99
    reader.turn()
    assert reader.taken.arrived_s[5:] == [1001.0, 1002.0, reader.now_s]  # never in the future


def test_records_that_are_rare_are_live_whatever_clock_their_sender_has() -> None:
    reader = Reader()
    for i in range(20):
        reader.cluster.records, reader.cluster.end = [Record(b"fan/x", i, START_AT_S - 500 + 10 * i)], i + 1
        for _ in range(50):
            reader.turn()
            reader.now_s += 0.2
    assert reader.taken.arrived_s[1:] == pytest.approx([1010.0 + 10 * i for i in range(19)])


@pytest.mark.parametrize("clock_s", [0.0, -3600.0, 3600.0])
@pytest.mark.parametrize("pause_s", [0.4, 2.5, 6.0])
def test_nothing_counts_as_missing_where_there_is_too_much_to_do(clock_s: float, pause_s: float) -> None:
    """A channel without numbers and times; its records wait for a while, and then come as slowly as they do."""
    text = (
        "kafka: {}\nsensors: [{topic: '{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 1000, "
        "unit: m/s2}]"
    )
    rings = Rings(4, 200, 100)
    reader = Reader()
    ingest = Ingest(parse_config(text, Path("config.yaml")), {"default": rings}, lambda _: None, lambda: reader.now_s)
    reader.records._receiver = ingest
    sent = 0

    def send(until_s: float, *, silent: bool = False) -> None:
        """The sensor sends a tenth of a second of samples ten times a second."""
        nonlocal sent
        while sent * 0.1 + 1000.0 <= until_s:
            record = Record(b"fan/x", reader.cluster.end, START_AT_S + clock_s + sent * 0.1)
            record._said["value"] = bytes(400)
            if not silent:
                reader.cluster.records.append(record)
                reader.cluster.end += 1
            sent += 1

    def drain() -> None:
        while rings.take() is not None:
            pass

    def live(seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            reader.now_s += 0.05
            send(reader.now_s)
            reader.turn()
            drain()

    live(10.0)
    [channel] = ingest.channels.values()
    reader.now_s += pause_s
    send(reader.now_s)
    for _ in range(100):  # one record each tenth of a second, so it stays as far behind
        reader.now_s += 0.1
        send(reader.now_s)
        waiting, reader.cluster.records = reader.cluster.records[1:], reader.cluster.records[:1]
        reader.turn()
        reader.cluster.records = waiting
        ingest.release_overdue()
        drain()
    for _ in range(20):
        live(0.05)
    assert channel.samples_missing == 0
    assert channel.samples_received == 100 * reader.cluster.end
    # What is missing still shows: the sensor itself is silent for two seconds while its records are read late.
    reader.now_s += 0.7
    send(reader.now_s)
    send(reader.now_s + 2.0, silent=True)
    reader.now_s += 3.0
    send(reader.now_s)
    live(3.0)
    ingest.release_overdue()
    assert channel.samples_missing == pytest.approx(2000, abs=250)


def test_records_before_the_start_of_their_topic_are_passed_over() -> None:
    records = [Record(b"fan/x" if i % 2 else b"fan/y", i) for i in range(10)]
    reader = Reader(*records, Record(b"fan/z", 10), partitions=0)
    reader.records.add(("v", 0), {"fan/x": 5, "fan/y": 2})
    reader.taken.full = {"fan/w"}
    reader.turn()
    assert [int(payload) for _, payload in reader.taken.messages] == [2, 4, 5, 6, 7, 8, 9, 10]
    assert reader.cluster.stored == {0: 11}


def test_a_partition_that_is_held_back_is_not_resumed_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(Record(b"fan/y", 0), *(Record(b"fan/x", i) for i in range(1, 4)))
    reader.records.held = {("v", 1)}
    reader.taken.full = {"fan/x"}
    both, resumed = [TopicPartition("v", 0), TopicPartition("v", 1)], list[TopicPartition]()
    monkeypatch.setattr(reader.cluster, "assignment", lambda: both)
    monkeypatch.setattr(reader.cluster, "resume", resumed.extend)
    reader.turn()
    reader.now_s += 2 * STALL_S
    reader.turn()
    assert reader.cluster.paused == both
    reader.taken.full = set()
    reader.turn()
    assert resumed == both[:1]
    assert len(reader.taken.messages) == 4
