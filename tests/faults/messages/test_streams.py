"""Streams with holes, swaps, and neighbours that send nothing usable."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import free_port, mosquitto, publish, wait_for

pytestmark = pytest.mark.system

MESSAGE = np.sin(np.arange(100, dtype="<f4")).astype("<f4").tobytes()
"""0.1 s of 1 kHz."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, RunningDaemon]]:
    """A broker's port, and a daemon that listens to it."""
    folder = tmp_path_factory.mktemp("streams")
    calibration = folder / "{machine}.calibration"
    rest = "sampling_rate_hz: 1000"
    sensors = (
        f"{{topic: 'packed/{{machine}}/{{axis}}', payload: {{format: float32}}, {rest}}}",
        f"{{topic: 'json/{{machine}}/{{axis}}', payload: {{format: json}}, {rest}}}",
        f"{{topic: 'named/{{machine}}', payload: {{format: float32}}, {rest}, calibration: '{calibration}'}}",
    )
    text = f"sensors: [{', '.join(sensors)}]\nlimits: {{channels: 20, buffer: 60s}}\n"
    with mosquitto(folder) as broker, running_daemon(folder, broker, text) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        yield broker, daemon


def test_a_rejected_message_is_a_hole_of_its_length(running: tuple[int, RunningDaemon]) -> None:
    port, daemon = running
    bad = np.full(100, np.nan, "<f4").tobytes()
    publish(port, [("packed/nan/x", payload) for payload in [MESSAGE] * 30 + [bad] * 2 + [MESSAGE] * 30])
    scored = "vibration_blocks_scored_total"
    wait_for(lambda: daemon.value(scored, machine="nan") == 2 * (30 - 25), "the blocks of two contexts")
    assert daemon.value("vibration_samples_missing_total", machine="nan") == 200


def test_a_broker_that_was_away_leaves_a_hole(tmp_path: Path) -> None:
    port = free_port()
    sensor = "{topic: 'plant/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 1000}"
    with running_daemon(tmp_path, port, f"sensors: [{sensor}]\n") as daemon:
        received = "vibration_samples_received_total"
        for sent in (1000, 2000):
            with mosquitto(tmp_path, port):
                wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
                publish(port, [("plant/fan/x", MESSAGE)] * 10, pause_s=0.1)
                wait_for(lambda: daemon.value(received) == sent, "all samples")  # noqa: B023 - asked now
                ended_s = time.monotonic()
            wait_for(lambda: not daemon.value("vibration_mqtt_connected"), "the daemon to notice the loss")
            wait_for(lambda: time.monotonic() - ended_s > 2.0, "a silence")  # noqa: B023 - asked now
        missing = daemon.value("vibration_samples_missing_total")
        assert missing > 1500, "the hole is as long as the silence"


def test_messages_that_overtake_each_other_are_scored(running: tuple[int, RunningDaemon]) -> None:
    port, daemon = running
    order = list(range(100))
    for first in range(5, 100, 10):  # once a second
        order[first], order[first + 1] = order[first + 1], order[first]
    samples = np.sin(np.arange(10_000)).reshape(100, 100).round(4)
    for key, step in (("seq", 1.0), ("t", 0.1)):
        messages = [json.dumps({"samples": samples[i].tolist(), key: int(i) if key == "seq" else 1.7e9 + step * i})
                    for i in order]  # fmt: skip
        publish(port, [(f"json/swap-{key}/x", message.encode()) for message in messages])
        scored = "vibration_blocks_scored_total"
        wait_for(lambda: daemon.value(scored, machine=f"swap-{key}") == 100 - 25, "all blocks", 10)  # noqa: B023
        assert daemon.values("vibration_forecast_gap", machine=f"swap-{key}")
        assert daemon.value("vibration_samples_reordered_total", machine=f"swap-{key}") == 1000
        assert daemon.value("vibration_samples_late_total", machine=f"swap-{key}") == 0


def test_neighbours_that_send_nothing_usable_lock_nobody_out(running: tuple[int, RunningDaemon]) -> None:
    port, daemon = running
    publish(port, [(f"json/bad-{number}/x", b"{") for number in range(45)])
    publish(port, [("packed/late-comer/x", MESSAGE)] * 3)
    received = "vibration_samples_received_total"
    wait_for(lambda: daemon.value(received, machine="late-comer") == 300, "the samples of a good channel", 10)
    assert daemon.value("vibration_messages_rejected_total", reason="undecodable") >= 45
    assert daemon.value("vibration_messages_rejected_total", reason="label_conflict") == 0


@pytest.mark.parametrize("level", ["m" * 250, "two\u2028lines"])
def test_a_topic_level_that_is_no_name_costs_its_message_only(running: tuple[int, RunningDaemon], level: str) -> None:
    port, daemon = running
    rejected = daemon.value("vibration_messages_rejected_total", reason="wrong_label")
    publish(port, [(f"named/{level}", MESSAGE), ("named/good", MESSAGE)])
    reason = "wrong_label"
    wait_for(
        lambda: daemon.value("vibration_messages_rejected_total", reason=reason) == rejected + 1, "the rejection", 10
    )
    assert daemon.process.poll() is None
    assert not daemon.values("vibration_samples_received_total", machine=level)


def test_lost_samples_are_counted_by_channel(running: tuple[int, RunningDaemon]) -> None:
    port, daemon = running
    publish(port, [("packed/lossy/x", MESSAGE[:348]), ("packed/lossy/x", b"1"), ("packed/lossy/x", MESSAGE)])
    wait_for(lambda: daemon.value("vibration_samples_received_total", machine="lossy") == 187, "the samples")
    assert daemon.value("vibration_samples_incomplete_total", machine="lossy") == 87
