"""Every interval of a daemon beside a real Kafka is written once to the topic of scores, with what was scored."""

import csv
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from monitor.runtime.processes import procfs
from monitor.runtime.scores.document import schema
from monitor.shipped import shipped
from tests.support.alarming import calibrated, noise
from tests.support.commands import document, output
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.servers import wait_for

pytestmark = pytest.mark.system

SENSOR = (
    "sensors: [{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 12000, "
    "calibration: {calibration}}}]\nmodels: {{default: models/demo}}\nlimits: {{buffer: 30s}}\n"
)
FIGURES = ("score", "gap", "gap_ratio", "gap_whitened", "rms")
STATES = ("ok", "warning", "alarm")


def settings(broker: KafkaBroker, topic: str, more: str = "") -> str:
    named = f"topic: {topic}, group: {topic}, scores_topic: {topic}.scores, client_id: {topic}-1"
    return f"kafka: {{bootstrap: '{broker.bootstrap}', {named}{more}}}\n"


def send(broker: KafkaBroker, topic: str, machine: str, samples: Any, size: int = 6000) -> None:
    payload = np.asarray(samples).astype("<f4").tobytes()
    pieces = [payload[at : at + 4 * size] for at in range(0, len(payload), 4 * size)]
    broker.send(topic, [(f"plant/{machine}/x", piece) for piece in pieces])


def written(broker: KafkaBroker, topic: str, count: int) -> list[dict[str, Any]]:
    """The records of the topic of scores, once there are ``count``; also checks key and time of each."""
    found = []
    for record in broker.read(f"{topic}.scores", count):
        content: dict[str, Any] = json.loads(record.value() or b"")
        assert record.key() == content["channel"].encode()
        assert abs(time.time() - record.timestamp()[1] / 1000) < 120
        found.append(content)
    return found


def dropped(daemon: RunningDaemon) -> float:
    return sum(daemon.values("vibration_scores_dropped_total"))


def test_every_interval_is_written_as_backtest_scores_it(broker: KafkaBroker, tmp_path: Path) -> None:
    for topic, partitions in (("same", 2), ("same.scores", 3)):
        broker.create(topic, partitions)
    recordings = {name: tmp_path / f"{name}.npz" for name in ("healthy", "faulty")}
    calibration, table = tmp_path / "fan.calibration", tmp_path / "table.csv"
    fault = ("--fault", "outer-race", "--fault-start", "4s", "--fault-growth", "1s")
    output("simulate", "--out", recordings["healthy"], "--duration", "12s", "--seed", "1")
    output("simulate", "--out", recordings["faulty"], "--duration", "8s", "--seed", "2", *fault)
    output("calibrate", shipped("models/demo"), recordings["healthy"], "--out", calibration, "--interval", "0.2s")
    document(
        "backtest", shipped("models/demo"), *recordings.values(), "--calibration", calibration, "--csv", table
    )  # fmt: skip
    with table.open(newline="") as file:
        expected = list(csv.DictReader(file))
    text = settings(broker, "same") + SENSOR.format(calibration=calibration) + "scoring: {interval: 0.2s}\n"
    with running_daemon(tmp_path, 0, text) as daemon:
        wait_for(lambda: daemon.value("vibration_kafka_connected"), "the group")
        for name, recording in recordings.items():
            with np.load(recording) as found:
                send(broker, "same", name, found["acceleration"], 777)
        wait_for(lambda: daemon.value("vibration_scores_written_total") == len(expected), "all intervals")
        assert dropped(daemon) == 0
    records = written(broker, "same", len(expected))
    check = Draft202012Validator(json.loads(schema()))
    for name in recordings:
        rows = [row for row in expected if row["channel"] == f"{name}.npz"]
        mine = [record for record in records if record["labels"] == {"machine": name, "axis": "x"}]
        assert len(mine) == len(rows) > 20
        for before, record, row in zip([None, *mine], mine, rows, strict=False):
            check.validate(record)
            assert before is None or before["end_sample"] <= record["first_sample"]
            assert record["first_sample"] / 12000 == pytest.approx(float(row["start_s"]), abs=1e-6)
            assert [record[key] for key in FIGURES] == pytest.approx(
                [float(row[key]) for key in FIGURES], rel=1e-4, abs=1e-5
            )
            assert record["state"] == STATES[int(row["alarm_state"])]
            assert (record["writer"], record["generation"]) == ("same-1", 1)
    assert {record["state"] for record in records} >= {"ok", "alarm"}


def test_what_was_scored_last_is_written_before_the_end(broker: KafkaBroker, tmp_path: Path) -> None:
    for topic in ("ending", "ending.scores"):
        broker.create(topic)
    with running_daemon(tmp_path, 0, settings(broker, "ending") + calibrated(tmp_path)) as daemon:
        wait_for(lambda: daemon.value("vibration_kafka_connected"), "the group")
        send(broker, "ending", "fan", noise(4, 2))
        wait_for(lambda: daemon.value("vibration_blocks_scored_total") == 480 - 25, "the last block")
        daemon.process.terminate()
        assert daemon.process.wait(20) == 0
    found = written(broker, "ending", 37)
    assert [record["end_sample"] for record in found] == [2500 + 1200 * (at + 1) for at in range(37)]


def test_a_topic_that_does_not_exist_costs_its_records_only(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.create("lonely")
    quick = ", options: {topic.metadata.propagation.max.ms: 500, topic.metadata.refresh.interval.ms: 500}"
    with running_daemon(tmp_path, 0, settings(broker, "lonely", quick) + calibrated(tmp_path)) as daemon:
        wait_for(lambda: daemon.value("vibration_kafka_connected"), "the group")
        send(broker, "lonely", "fan", noise(2, 2))
        refused = "vibration_scores_dropped_total"
        wait_for(lambda: daemon.value(refused, reason="refused") == 17, "records to be given up")
        assert "lonely.scores" in daemon.log.read_text()
        assert daemon.value("vibration_blocks_scored_total") == 240 - 25
        broker.create("lonely.scores")

        def came() -> bool:
            send(broker, "lonely", "fan", noise(0.5, 3))
            time.sleep(0.3)
            return daemon.value("vibration_scores_written_total") > 0

        wait_for(came, "records of the topic that came later")
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
    assert len(written(broker, "lonely", 1)) >= 1


@pytest.mark.long
def test_what_a_frozen_daemon_writes_when_it_wakes_is_recognised(broker: KafkaBroker, tmp_path: Path) -> None:
    for topic in ("late", "late.scores"):
        broker.create(topic)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (settings(broker, "late").replace("late-1", f"late-{number}") for number in (1, 2))

    def count(daemon: RunningDaemon) -> int:
        return int(daemon.value("vibration_scores_written_total"))

    with running_daemon(folders[0], 0, one + calibrated(folders[0])) as first:
        wait_for(lambda: first.value("vibration_kafka_connected"), "the group")
        send(broker, "late", "fan", noise(2, 2))
        wait_for(lambda: count(first) == 17, "intervals of the first")
        with running_daemon(folders[1], 0, two + calibrated(folders[1])) as second:
            # What is in its rings is scored only when it wakes.
            frozen = [*procfs.children(first.process.pid), first.process.pid]
            for pid in frozen[:-1]:
                os.kill(pid, signal.SIGSTOP)
            send(broker, "late", "fan", noise(2, 3))
            wait_for(lambda: first.value("vibration_samples_received_total") == 48_000, "more samples")
            os.kill(first.process.pid, signal.SIGSTOP)

            def scored_by_the_second() -> bool:
                send(broker, "late", "fan", noise(1, 4))
                return count(second) > 17

            try:
                wait_for(lambda: "partitions assigned" in second.log.read_text(), "the second to be the owner", 60)
                wait_for(scored_by_the_second, "intervals of the second")
            finally:
                for pid in frozen:  # the daemon last: by then its workers have scored what they had
                    os.kill(pid, signal.SIGCONT)
                    time.sleep(1)
            wait_for(lambda: first.value("vibration_channels") == 0, "the first to let go", 60)
            late, owners = count(first) - 17, count(second)
    records = written(broker, "late", 17 + late + owners)
    generations = {number: {r["generation"] for r in records if r["writer"] == f"late-{number}"} for number in (1, 2)}
    assert max(generations[1]) < min(generations[2])
    assert len(generations[2]) == 1
    # Whoever leaves out what is lower than before has each interval of the owner, and behind them nothing else.
    newest, accepted = -1, []
    for record in records:
        if record["generation"] >= newest:
            newest = record["generation"]
            accepted.append(record["writer"])
    assert accepted == ["late-1"] * accepted.count("late-1") + ["late-2"] * accepted.count("late-2")
    assert accepted.count("late-2") >= owners
