"""The daemon beside a real Kafka: records are scored as messages are, and a bad one costs itself only."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config.kafka import Kafka
from monitor.core.messages.decode import Reason
from monitor.recording.write import write_recording
from monitor.runtime.intake.kafka.writer import Writer
from monitor.simulation.machine import catalogue
from monitor.simulation.simulator import Simulation
from tests.support.alarming import calibrated, noise
from tests.support.commands import document, refusal
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.servers import wait_for

pytestmark = pytest.mark.system


def packed(samples: int, seed: int = 0) -> bytes:
    return Simulation(catalogue()["fan"], 12000.0, seed).next(samples).astype("<f4").tobytes()


def messages(payload: bytes, samples: int = 1200) -> list[bytes]:
    size = 4 * samples
    return [payload[at : at + size] for at in range(0, len(payload), size)]


def settings(broker: KafkaBroker, topic: str, more: str = "") -> str:
    return f"kafka: {{bootstrap: '{broker.bootstrap}', topic: {topic}, group: {topic}{more}}}\n"


def rejections(daemon: RunningDaemon) -> dict[str, int]:
    counts = {str(reason): daemon.value("vibration_messages_rejected_total", reason=str(reason)) for reason in Reason}
    return {reason: int(count) for reason, count in counts.items() if count}


def test_records_are_scored_and_bad_ones_are_counted(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("bad", 2)
    limits = "limits: {channels: 4, buffer: 10s}\n"
    with running_daemon(tmp_path, 0, settings(broker, "bad", ", max_payload: 1MB") + limits) as daemon:
        wait_for(lambda: daemon.value("vibration_kafka_connected"), "the group")
        good = packed(60_000)
        middle = len(good) // 2
        broker.send("bad", [("plant/fan/x", good[:middle])], options={"compression.type": "zstd"})
        broker.send(
            "bad",
            [
                ("plant/fan/x", None),
                ("plant/fan/x", b"12345"),
                ("office/fan", b"1234"),
                (None, b"1234"),
                (b"\xff", b"1234"),
            ],
        )
        broker.send(
            "bad",
            [("plant/fan/x", bytes(1_500_000))],
            options={"message.max.bytes": 2_000_000, "compression.type": "lz4"},
        )
        broker.send("bad", [("plant/fan/x", good[middle:])], options={"compression.type": "gzip"})
        wait_for(lambda: daemon.value("vibration_samples_received_total", machine="fan") == 60_000, "all samples")
        assert rejections(daemon) == {"empty": 1, "wrong_length": 1, "unknown_topic": 3, "too_large": 1}
        wait_for(lambda: daemon.value("vibration_blocks_scored_total", machine="fan") == 2 * (300 - 25), "blocks")
        wait_for(lambda: daemon.value("vibration_kafka_lag_records") == 0, "no lag")
        assert daemon.value("vibration_kafka_rebalances_total") == 1
        assert daemon.value("vibration_kafka_records_received_total") == 6  # those with a key
        assert "protocol=consumer" in daemon.log.read_text()
        assert daemon.values("vibration_mqtt_connected") == []


def test_a_batch_that_cannot_be_read_costs_itself_only(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("bomb")
    # librdkafka unpacks no more than this, and would by itself ask for the batch again for ever.
    text = settings(broker, "bomb", ", start: earliest, options: {receive.message.max.bytes: 10000000}")
    one_batch: dict[str, str | int] = {"compression.type": "zstd", "batch.size": 20_000_000, "linger.ms": 500}
    one_batch["message.max.bytes"] = 20_000_000
    bombs: list[tuple[str | bytes | None, bytes | None]] = [("plant/fan/x", bytes(4_000_000))] * 3
    broker.send("bomb", bombs, options=one_batch)
    broker.send("bomb", [("plant/fan/x", packed(1200))])
    with running_daemon(tmp_path, 0, text) as daemon:
        wait_for(lambda: daemon.value("vibration_samples_received_total") == 1200, "the record behind it")
        assert rejections(daemon) == {"undecodable": 3}
        assert "Decompression" in daemon.log.read_text()


def test_what_was_sent_while_it_stood_still_is_scored_without_a_loss(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("later", 2)
    signal = messages(packed(25 * 12_000))
    text = settings(broker, "later", ", start: earliest") + f"state_dir: {tmp_path / 'state'}\n"
    at_s = [time.time() - 60 + 0.1 * i for i in range(len(signal))]
    broker.send("later", [("plant/fan/x", each) for each in signal[:50]], at_s=at_s[:50])
    with running_daemon(tmp_path, 0, text) as daemon:
        wait_for(lambda: daemon.value("vibration_blocks_scored_total", machine="fan") == 600 - 25, "the first part")
    # The 20 s that come now are ten times what its buffer holds.
    broker.send("later", [("plant/fan/x", each) for each in signal[50:]], at_s=at_s[50:])
    with running_daemon(tmp_path, 0, text) as daemon:
        wait_for(lambda: daemon.value("vibration_blocks_scored_total", machine="fan") == 3000 - 50, "the second part")
        assert daemon.value("vibration_samples_received_total", machine="fan") == 25 * 12_000
        assert daemon.value("vibration_blocks_skipped_total", machine="fan", reason="overload") == 0
        assert rejections(daemon) == {}
        # Its last samples are as old as their record says.
        last_s = daemon.value("vibration_last_sample_timestamp_seconds", machine="fan")
        assert abs(last_s - at_s[-1]) < 1.0
        wait_for(lambda: daemon.value("vibration_kafka_lag_records") == 0, "no lag")


def test_two_daemons_share_the_channels_and_one_takes_them_over(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("shared", 4)
    signal = messages(packed(12_000))

    def send(number: int) -> None:
        for partition in range(4):
            broker.send("shared", [(f"plant/fan-{partition}/x", signal[number % len(signal)])], partition=partition)

    def channels(*daemons: RunningDaemon) -> list[int]:
        return sorted(int(each.value("vibration_channels")) for each in daemons)

    text = settings(broker, "shared")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with running_daemon(folders[0], 0, text) as one:
        wait_for(lambda: one.value("vibration_kafka_connected"), "the group")
        send(0)
        wait_for(lambda: channels(one) == [4], "all channels")
        with running_daemon(folders[1], 0, text) as two:
            wait_for(lambda: two.value("vibration_kafka_rebalances_total"), "partitions of the second")
            wait_for(lambda: channels(one) == [2], "the first to let go of two")
            send(1)
            wait_for(lambda: channels(one, two) == [2, 2], "two channels each")
            assert len(one.values("vibration_channel_state", state="silent")) == 2
        send(2)
        wait_for(lambda: channels(one) == [4], "the first to have all again")
        assert one.value("vibration_kafka_rebalances_total") >= 3
        assert rejections(one) == {}


def test_an_alarm_is_written_to_its_topic(broker: KafkaBroker, tmp_path: Path) -> None:
    for topic in ("alarming", "alarming.events"):
        broker.create(topic)
    before_s = time.time()
    text = settings(broker, "alarming", ", events_topic: alarming.events, client_id: hall-3") + calibrated(tmp_path)

    def send(signal: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        broker.send("alarming", [("plant/fan/x", each) for each in messages(signal.astype("<f4").tobytes(), 6000)])

    with running_daemon(tmp_path, 0, text) as daemon:
        wait_for(lambda: daemon.value("vibration_kafka_connected"), "the group")
        send(noise(2, 2))
        send(noise(2, 3, 12.0))
        wait_for(lambda: daemon.value("vibration_alarm_state", machine="fan") == 2, "the alarm")
        event = broker.read("alarming.events", 2)[-1]  # the first says that it is ok
        assert event.key() == b"fan/x"
        content = json.loads(event.value() or b"")
        assert content["labels"] == {"machine": "fan", "axis": "x"}
        assert content["state"] in {"warning", "alarm"}
        found: Any = event.headers()
        headers = dict(found)
        assert headers["writer"] == b"hall-3"
        assert before_s < float(headers["owner-since"]) < time.time()
        assert daemon.value("vibration_events_dropped_total") == 0


def test_an_event_for_a_topic_that_does_not_exist_is_refused_until_it_is_there(broker: KafkaBroker) -> None:
    quick: dict[str, str | int | float | bool] = {
        "topic.metadata.propagation.max.ms": 500, "topic.metadata.refresh.interval.ms": 500
    }  # fmt: skip
    writer = Writer(Kafka(bootstrap=broker.bootstrap, client_id="hall-3", options=quick))

    async def accepted() -> bool:
        return await writer.write("nowhere", "fan/x", "{}")

    async def story() -> None:
        # The first waits for the topic, the next ones hear at once that there is none.
        assert [await accepted() for _ in range(3)] == [False] * 3
        await asyncio.to_thread(broker.create, "nowhere")
        async with asyncio.timeout(30):
            while not await accepted():  # noqa: ASYNC110 - asked again until the topic is found
                await asyncio.sleep(0.1)
        await writer.close()

    asyncio.run(story())
    assert len(broker.read("nowhere", 1)) == 1


def test_a_frozen_daemon_lets_go_when_it_wakes(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("frozen", 4)
    payload = packed(1200)

    def channels(*daemons: RunningDaemon) -> list[int]:
        for partition in range(4):
            broker.send("frozen", [(f"plant/fan-{partition}/x", payload)], partition=partition)
        return [int(each.value("vibration_channels")) for each in daemons]

    text = settings(broker, "frozen")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with running_daemon(folders[0], 0, text) as one, running_daemon(folders[1], 0, text) as two:
        wait_for(lambda: channels(one, two) == [2, 2], "two channels each", 60)
        os.kill(one.process.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: channels(two) == [4], "the second to have all", 60)
        finally:
            os.kill(one.process.pid, signal.SIGCONT)
        wait_for(lambda: channels(one, two) == [2, 2], "two channels each again", 60)
        assert "partitions given up" in one.log.read_text()
        for daemon in (one, two):
            assert sum(daemon.values("vibration_internal_errors_total")) == 0
            assert rejections(daemon) == {}


@pytest.mark.long
def test_a_topic_may_come_later_and_grow(broker: KafkaBroker, tmp_path: Path) -> None:
    with running_daemon(tmp_path, 0, settings(broker, "missing")) as daemon:
        reason = f"broker kafka://{broker.bootstrap}: no topic missing; create it, allow the account to read it"
        wait_for(lambda: reason in daemon.unready(), "the reason", 60)
        broker.create("missing", 1)
        wait_for(lambda: daemon.unready() == "", "the topic to be found", 60)
        broker.send("missing", [("plant/fan/x", packed(1200))])
        wait_for(lambda: daemon.value("vibration_channels") == 1, "a channel")
        broker.grow("missing", 2)
        wait_for(lambda: "assigned: missing[1]" in daemon.log.read_text(), "the new partition", 60)

        def came() -> bool:  # it reads from where the partition ends when it looks
            broker.send("missing", [("plant/pump/x", packed(1200))], partition=1)
            return daemon.value("vibration_channels") == 2

        wait_for(came, "a channel of the new partition")


def test_measured_quantities_come_from_a_topic_that_every_daemon_reads(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("signals")
    broker.create("speeds", 3)
    now_s = time.time()
    broker.send("speeds", [("plant/fan/speed", b"700")], partition=0, at_s=[now_s - 3600])  # holds no longer
    broker.send("speeds", [("plant/fan/speed", b"900")], partition=2, at_s=[now_s - 10])
    sensor = (
        "sensors:\n- topic: plant/{machine}/{axis}/acceleration\n  payload: {format: float32}\n"
        "  sampling_rate_hz: 12000\n  conditions:\n"
        "    speed_rpm: {topic: 'plant/{machine}/speed', payload: {format: number}, max_age: 10m}\n"
    )
    with running_daemon(tmp_path, 0, settings(broker, "signals", ", conditions_topic: speeds") + sensor) as daemon:
        wait_for(lambda: daemon.value("vibration_kafka_connected"), "the group")
        broker.send("signals", [("plant/fan/x/acceleration", packed(1200))])
        wait_for(lambda: daemon.values("vibration_condition_value") == [900.0], "the speed from before the start")
        broker.send("speeds", [("plant/fan/speed", b"1000")], partition=1)
        wait_for(lambda: daemon.values("vibration_condition_value") == [1000.0], "the new speed")
        broker.send("speeds", [("plant/fan/speed", None), ("plant/fan/speed", b"fast")])
        wait_for(lambda: sum(rejections(daemon).values()) == 2, "bad values")


def test_a_recording_is_replayed_into_a_topic_and_recorded_from_it(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("taped", 2)
    signal = np.frombuffer(packed(12_000), "<f4")
    write_recording(tmp_path / "fan.npz", signal, 12_000.0, "g")
    url = f"kafka://{broker.bootstrap}/taped"
    topic = "plant/fan/x"
    recording = [sys.executable, "-m", "monitor", "record", "--url", url, "--topic", topic, "--duration", "1s"]
    options = ["--sampling-rate-hz", "12000", "--unit", "g", "--out", str(tmp_path / "taped.npz")]
    with subprocess.Popen(
        [*recording, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as taping:
        # It begins at the end of the topic, so it has to be there first: the loop sends until it has enough.
        document("replay", tmp_path / "fan.npz", "--url", url, "--topic", topic, "--loop", "--duration", "8s")
        said, _ = taping.communicate(timeout=60)
    assert taping.returncode == 0, said
    with np.load(tmp_path / "taped.npz") as found:
        taped = found["acceleration"]
    assert taped.size == 12_000
    start = int(np.flatnonzero(np.isclose(signal, taped[0]))[0])
    assert np.allclose(taped, np.roll(signal, -start))
    assert str(refusal("replay", tmp_path / "fan.npz", "--url", url + "s", "--topic", topic)) == (
        f"kafka://{broker.bootstrap} has no topic tapeds; create it, or name another"
    )
