"""What stands in a state topic that should not: it is counted or told, and costs nothing else."""

from pathlib import Path

import msgspec
import pytest

from monitor.runtime.intake.kafka.positions import Position
from tests.support.alarming import calibrated, noise
from tests.support.daemons import running_daemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.servers import wait_for

pytestmark = pytest.mark.system


def settings(broker: KafkaBroker, topic: str, folder: Path) -> str:
    named = f"topic: {topic}, group: {topic}, start: earliest, state_topic: {topic}.state"
    return f"kafka: {{bootstrap: '{broker.bootstrap}', {named}}}\n{calibrated(folder)}"


def send(broker: KafkaBroker, topic: str, seconds: float = 2.0) -> None:
    payload = noise(seconds, 2).astype("<f4").tobytes()
    broker.send(topic, [("plant/fan/x", payload[at : at + 4800]) for at in range(0, len(payload), 4800)])


def test_records_that_cannot_be_used_are_counted_and_channels_begin_anew(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("odd")
    broker.create("odd.state", 1, **{"cleanup.policy": "compact"})
    position = msgspec.json.encode(Position("odd", 0, 0, 0, 0, 0, "plant/fan/x", 1e9))

    def put(key: str, value: bytes | None, generation: bytes, where: bytes = position) -> None:
        headers = [("version", b"1"), ("generation", generation), ("position", where)]
        broker.send("odd.state", [(key, value)], headers=headers)

    put("fan/x", b"this is no state", b"3")
    put("fan/x", b"of a worker that was frozen", b"2")
    put("fan/y", b"", b"?", b"[]")
    put("fan/z", None, b"3")
    with running_daemon(tmp_path, 0, settings(broker, "odd", tmp_path)) as daemon:
        wait_for(lambda: daemon.value("vibration_kafka_connected"), "the group")
        send(broker, "odd")
        wait_for(lambda: daemon.value("vibration_blocks_scored_total") == 240 - 25, "blocks", 30)
        ignored = "vibration_kafka_states_ignored_total"
        assert [daemon.value(ignored, reason=reason) for reason in ("old_generation", "unreadable")] == [1, 2]
        log = daemon.log.read_text()
        assert "state not used: topic=odd.state channel='fan/x' old_generation: generation 2, seen was 3" in log
        assert "state not used: topic=odd.state channel='fan/y' unreadable" in log
        assert "not compacted" not in log
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
        # Its own are above the generation that it found, so readers take them.
        wait_for(lambda: daemon.value("vibration_kafka_states_written_total") > 0, "a state", 30)
        assert daemon.value(ignored, reason="old_generation") == 1
        assert "generation=5" in daemon.log.read_text()  # 3, and the first of this group


def test_a_topic_of_another_version_is_named_until_its_records_are_gone(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("newer")
    broker.create("newer.state")
    broker.send("newer.state", [("fan/x", b"a state of the future")], headers=[("version", b"2")])
    send(broker, "newer")
    reason = (
        "kafka.state_topic newer.state holds the state of 'fan/x' in version 2, this daemon reads and writes version "
        "1; let all daemons of the group have one version, or name a new topic"
    )
    with running_daemon(tmp_path, 0, settings(broker, "newer", tmp_path)) as daemon:
        wait_for(lambda: reason in daemon.unready(), "the reason", 30)
        assert daemon.value("vibration_channels") == 0
        assert "the state topic is not compacted" in daemon.log.read_text()
        broker.send("newer.state", [("fan/x", None)])
        wait_for(lambda: daemon.unready() == "", "the group", 30)
        wait_for(lambda: daemon.value("vibration_blocks_scored_total") == 240 - 25, "blocks", 30)


@pytest.mark.long
def test_a_state_topic_that_is_missing_is_named_and_may_come_later(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("early")
    with running_daemon(tmp_path, 0, settings(broker, "early", tmp_path)) as daemon:
        wait_for(lambda: "no topic early.state; create it" in daemon.unready(), "the reason", 30)
        send(broker, "early")
        broker.create("early.state", 1, **{"cleanup.policy": "compact"})
        wait_for(lambda: daemon.value("vibration_blocks_scored_total") == 240 - 25, "blocks", 60)
        wait_for(lambda: daemon.unready() == "", "the topic to be found", 30)
