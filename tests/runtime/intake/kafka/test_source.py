"""What a member of a group keeps and lets go of, without a cluster."""

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from monitor.config.kafka import Kafka
from monitor.core.messages.rejection import Rejected
from monitor.runtime.intake.kafka.places import FILE_NAME, KeptPlaces
from monitor.runtime.intake.kafka.source import SETTLED_S, KafkaSource
from monitor.runtime.intake.kafka.statistics import read_statistics
from monitor.runtime.intake.source import Reached


class Channels:
    """Notes what is let go of."""

    def __init__(self) -> None:
        self.left: list[str] = []

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False, arrived_s: float | None = None) -> None:
        raise AssertionError((topic, payload, retained, arrived_s))

    def has_room(self, topic: str) -> bool:
        raise AssertionError(topic)

    def knows(self, topic: str) -> bool:
        raise AssertionError(topic)

    def reached(self, topic: str) -> Reached | None:
        raise AssertionError(topic)

    def reject(self, topic: str, rejected: Rejected) -> None:
        raise AssertionError((topic, rejected))

    def leave(self, topics: Iterable[str]) -> None:
        self.left += topics


def test_channels_of_an_earlier_run_that_others_have_are_let_go_of_once_partitions_have_settled(tmp_path: Path) -> None:
    KeptPlaces(tmp_path).save({"fan/x": ("v", 0), "fan/y": ("v", 1)})
    channels = Channels()
    source = KafkaSource(Kafka(), channels, state_dir=tmp_path)
    source._records.keys.update(source._places.load())
    source._records.add(("v", 1))
    source.state.connected, source._joined_s = True, time.monotonic() - SETTLED_S / 2
    source._leave_what_is_elsewhere()
    assert channels.left == []
    source._joined_s = time.monotonic() - SETTLED_S - 1
    source.state.connected = False
    source._leave_what_is_elsewhere()
    assert channels.left == []
    source.state.connected = True
    source._leave_what_is_elsewhere()
    assert channels.left == ["fan/x"]
    assert source._records.keys == {"fan/y": ("v", 1)}


@pytest.mark.parametrize("text", [b"", b"[1]", b'{"a": ["v", "x"]}', b"\xff"])
def test_a_damaged_file_is_left_out_and_replaced(tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).write_bytes(text)
    kept = KeptPlaces(tmp_path)
    assert kept.load() == {}
    assert "cannot be read" in caplog.text
    kept.save({"a": ("v", 3)})
    assert KeptPlaces(tmp_path).load() == {"a": ("v", 3)}
    KeptPlaces(None).save({"a": ("v", 3)})
    assert KeptPlaces(None).load() == {}


def test_the_report_of_librdkafka_says_how_far_behind_we_are() -> None:
    partitions = {
        "0": {"app_offset": 70, "next_offset": 90, "hi_offset": 100},
        "1": {"app_offset": -1001, "next_offset": 40, "hi_offset": 50},
        "2": {"app_offset": 5, "next_offset": 5, "hi_offset": -1001},
        "3": {"app_offset": 0, "next_offset": 0, "hi_offset": 1000},
    }
    shown = ", ".join(
        f'"{number}": {{"app_offset": {each["app_offset"]}, "next_offset": {each["next_offset"]}, '
        f'"hi_offset": {each["hi_offset"]}, "more": []}}'
        for number, each in partitions.items()
    )
    up = '"a": {"state": "UP", "nodeid": 1}, "b": {"state": "UP", "nodeid": -1}, "c": {"state": "DOWN", "nodeid": 2}'
    found = read_statistics(
        f'{{"brokers": {{{up}}}, "topics": {{"v": {{"partitions": {{{shown}}}}}}}, "cgrp": {{"join_state": "steady"}}}}'
    )
    assert found.lags([("v", 0), ("v", 1), ("v", 2), ("w", 0)]) == {("v", 0): 30, ("v", 1): 10}
    assert (found.brokers_up, found.in_group) == (1, True)
    assert not read_statistics("{}").in_group
    # As librdkafka 2.16 reports a member of KIP-848 that there is no partition for.
    standby = read_statistics('{"cgrp": {"state": "up", "join_state": "init"}}')
    assert (standby.in_group, standby.without_partitions) == (False, True)
    assert not read_statistics('{"cgrp": {"state": "query-coord", "join_state": "init"}}').without_partitions
    assert not found.without_partitions
