"""Measured quantities through a real mosquitto, beside real vibration: joined, too old, retained, damaged."""

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.messages.decode import Reason
from monitor.shipped import shipped
from tests.support.commands import output
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.recordings import recording_file
from tests.support.servers import mosquitto, publish, wait_for

pytestmark = pytest.mark.system

RATE_HZ = 20_000
SENSORS = """
mqtt: {{url: 'mqtt://127.0.0.1:{broker}', version: '{version}', reconnect_min: 50ms, reconnect_max: 200ms}}
limits: {{channels: 8, buffer: 30s}}
sensors:
- topic: plant/{{machine}}/{{axis}}/acceleration
  payload: {{format: float32}}
  sampling_rate_hz: 20000
  conditions:
    speed_rpm: {{topic: 'plant/{{machine}}/speed', payload: {{format: number}}, max_age: {max_age}}}
    load: {{topic: 'plant/{{machine}}/drive', payload: {{format: json, key: load}}, max_age: 1h}}
"""
SCORED = RATE_HZ // 100 - 25
"""Blocks of a second that are scored."""


def second(name: str, number: int) -> Float32:
    """One second of a recording of the rig."""
    with np.load(recording_file(f"uestc/{name}.npz")) as stored:
        found: Float32 = stored["acceleration"][number * RATE_HZ : (number + 1) * RATE_HZ].astype("<f4")
    return found


def messages(machine: str, axis: str, samples: Float32) -> list[tuple[str, bytes | str]]:
    return [(f"plant/{machine}/{axis}/acceleration", part.tobytes()) for part in samples.reshape(-1, 2000)]


def configuration(broker: int, max_age: str = "1h", version: str = "5") -> str:
    return SENSORS.format(broker=broker, max_age=max_age, version=version)


def calibrate(file: Path) -> None:
    """Calibrate the shipped model on seconds of the rig at 800 and at 1000 rpm, with the speed."""
    addresses = [recording_file(f"uestc/healthy_{speed}rpm.npz") for speed in (800, 1000)]
    given = [f"{address}?speed_rpm={speed}" for address, speed in zip(addresses, (800, 1000), strict=True)]
    output(
        "calibrate", shipped("models/reference"), *given, "--until=6s", "--interval=100ms", "--unit=m/s2", "--out", file
    )


def speeds(daemon: RunningDaemon) -> list[float]:
    return daemon.values("vibration_condition_value", condition="speed_rpm")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_values_are_joined_and_bad_ones_counted_and_nothing_else_is_lost(tmp_path: Path, version: str) -> None:
    with mosquitto(tmp_path) as broker:
        publish(broker, [("plant/rig-1000/speed", "1000")], retain=True)
        with running_daemon(tmp_path, broker, configuration(broker, version=version)) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            story = [
                *messages("rig-1000", "x", second("healthy_1000rpm", 0)),
                *messages("rig-1000", "y", second("healthy_1000rpm", 1)),
                *messages("rig-800", "x", second("healthy_800rpm", 0)),
            ]
            quantities: list[tuple[str, bytes | str]] = [
                ("plant/rig-1000/speed", "fast"),
                ("plant/rig-1000/speed", "nan"),
                ("plant/rig-1000/speed", "1" * 100),
                ("plant/rig-1000/drive", '{"torque": 1}'),
                ("plant/rig-1000/drive", '{"load": 1e999}'),
                ("plant/rig-1000/drive", b"\xff\x00"),
                ("plant/rig-800/speed", "800"),
                ("plant/rig-800/drive", '{"load": 0.5}'),
            ]
            publish(broker, [*story[:15], *quantities, *story[15:]])
            wait_for(
                lambda: daemon.values("vibration_blocks_scored_total") == [SCORED] * 3, "every block of all channels"
            )
            assert daemon.value("vibration_condition_value", machine="rig-1000", axis="x") == 1000.0
            assert daemon.value("vibration_condition_value", machine="rig-1000", axis="y") == 1000.0
            assert sorted(daemon.values("vibration_condition_value", machine="rig-800")) == [0.5, 800.0]
            rejected = {
                str(reason): int(count)
                for reason in Reason
                if (count := daemon.value("vibration_messages_rejected_total", reason=str(reason)))
            }
            assert rejected == {"undecodable": 4, "non_finite": 1, "too_large": 1}
            assert daemon.values("vibration_samples_received_total") == [RATE_HZ] * 3
            assert daemon.values("vibration_samples_missing_total") == [0] * 3
            assert sum(daemon.values("vibration_internal_errors_total")) == 0


def test_a_value_goes_when_it_is_too_old_and_a_restart_gets_the_retained_one_again(tmp_path: Path) -> None:
    vibration = messages("rig", "x", second("healthy_1000rpm", 0))
    with mosquitto(tmp_path) as broker:
        publish(broker, [("plant/rig/speed", "1000")], retain=True)
        for _ in range(2):
            with running_daemon(tmp_path, broker, configuration(broker, max_age="6s")) as daemon:
                wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
                publish(broker, vibration)
                wait_for(lambda: speeds(daemon) == [1000.0], "the retained value")
                wait_for(lambda: speeds(daemon) == [], "the value's end")
                assert daemon.values("vibration_channel_calibrated") == [0.0]  # the channel itself is not silent
                publish(broker, [("plant/rig/speed", "1001")])
                wait_for(lambda: speeds(daemon) == [1001.0], "a live value")


def test_a_reload_adds_and_removes_quantities_and_keeps_the_channels(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        publish(broker, [("plant/rig/speed", "1000"), ("plant/rig/torque", "7")], retain=True)
        with running_daemon(tmp_path, broker, configuration(broker)) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            publish(broker, messages("rig", "x", second("healthy_1000rpm", 0)))
            wait_for(lambda: daemon.value("vibration_blocks_scored_total") == SCORED, "the blocks")
            assert speeds(daemon) == [1000.0]
            text = daemon.config.read_text()
            daemon.config.write_text(text.replace("load: {topic: 'plant/{machine}/drive'", "load: {topic: 'x/{line}'"))
            daemon.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "this sensor has no label 'line'" in daemon.log.read_text(), "the refusal")
            assert speeds(daemon) == [1000.0]
            torque = "torque: {topic: 'plant/{machine}/torque', payload: {format: number}}"
            text = text.replace("conditions:", f"conditions:\n    {torque}").replace("speed_rpm: {", "rpm: {")
            daemon.config.write_text(text)
            daemon.process.send_signal(signal.SIGHUP)
            for name, value in (("torque", 7.0), ("rpm", 1000.0)):
                wait_for(lambda: daemon.value("vibration_condition_value", condition=name) == value, name)  # noqa: B023
            assert speeds(daemon) == []
            publish(broker, messages("rig", "x", second("healthy_1000rpm", 1)))
            wait_for(lambda: daemon.value("vibration_samples_received_total") == 2 * RATE_HZ, "more samples")
            assert daemon.log.read_text().count("new channel: rig/x") == 1


def test_a_calibrated_channel_is_scored_by_its_speed(tmp_path: Path) -> None:
    """At a learned speed, at one far outside, and without one."""
    calibrate(tmp_path / "rig.calibration")
    healthy = second("healthy_1000rpm", 7)

    def done(daemon: RunningDaemon) -> float:
        warm_up = daemon.value("vibration_blocks_skipped_total", reason="warm_up")
        return daemon.value("vibration_blocks_scored_total") + warm_up

    def sent(daemon: RunningDaemon, seconds: int) -> None:
        publish(broker, messages("rig", "x", healthy))
        wait_for(lambda: daemon.value("vibration_samples_received_total") == seconds * RATE_HZ, "the samples")
        wait_for(lambda: done(daemon) == seconds * RATE_HZ // 100, "the blocks")

    def page(daemon: RunningDaemon) -> Any:
        with urllib.request.urlopen(f"{daemon.address}/api/v1/channels", timeout=10) as answer:
            channels = json.load(answer)["channels"]
        return channels[0] if channels else {"score": None}

    with mosquitto(tmp_path) as broker:
        text = configuration(broker) + f"  calibration: {tmp_path / 'rig.calibration'}\n"
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            sent(daemon, 1)
            assert daemon.values("vibration_condition_distance") == []
            assert 0.0 <= daemon.values("vibration_anomaly_score")[0] < 1.0
            wait_for(lambda: page(daemon)["score"] is not None, "the page")
            assert page(daemon)["without_conditions"] == ["speed_rpm"]
            publish(broker, [("plant/rig/speed", "1000")], retain=True)
            wait_for(lambda: speeds(daemon) == [1000.0], "the speed")
            sent(daemon, 2)
            assert daemon.values("vibration_condition_distance") == [0.0]
            assert 0.0 <= daemon.values("vibration_anomaly_score")[0] < 1.0
            assert daemon.values("vibration_blocks_skipped_total", reason="unknown_condition") == []
            wait_for(lambda: page(daemon)["without_conditions"] == [], "the page")
            publish(broker, [("plant/rig/speed", "1600")], retain=True)
            wait_for(lambda: speeds(daemon) == [1600.0], "the speed")
            sent(daemon, 3)
            assert daemon.values("vibration_condition_distance") == [pytest.approx(600 / 50)]
            assert daemon.values("vibration_anomaly_score") == []
            assert daemon.values("vibration_alarm_state") == [0.0]
            assert daemon.value("vibration_blocks_skipped_total", reason="unknown_condition") > 5
            wait_for(lambda: page(daemon)["refusal"] == "unknown_condition", "the page")
