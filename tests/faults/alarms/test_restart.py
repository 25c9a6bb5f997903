"""What a restart must not forget: silent channels, their alarms, channels that are expected; and who owns the state."""

import asyncio
import platform
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.errors import ConfigurationError
from monitor.runtime.daemon import Daemon
from tests.support.alarming import calibrated, noise, raise_alarm, send
from tests.support.daemons import SENSOR, configuration, running_daemon
from tests.support.servers import free_port, get, mosquitto, wait_for

pytestmark = pytest.mark.system

SILENCE = "scoring: {silent_after: 2s}\n"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_silent_channel_in_alarm_comes_back_silent_in_alarm(tmp_path: Path, ending: signal.Signals) -> None:
    text = calibrated(tmp_path) + SILENCE
    with mosquitto(tmp_path) as broker:
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            raise_alarm(broker, "fan")
            send(broker, "pump", noise(3, 4))
            wait_for(lambda: daemon.value("vibration_alarm_state", machine="fan") == 2, "the alarm")
            wait_for(lambda: daemon.value("vibration_samples_received_total", machine="pump") == 36000, "the pump")
            last_sample_at_s = daemon.value("vibration_last_sample_timestamp_seconds", machine="fan")
            wait_for(lambda: not daemon.values("vibration_anomaly_score"), "the silence")
            # Silent: only an alarm keeps its state.
            assert daemon.values("vibration_alarm_state") == [2]
            if ending is signal.SIGTERM:
                daemon.process.terminate()
            else:
                wait_for(lambda: b"pump" in (tmp_path / "state" / "state").read_bytes(), "a save", 60)
                daemon.process.kill()
            daemon.process.wait(20)
        with running_daemon(tmp_path, free_port(), text) as daemon:
            # The very first scrape, without a broker: a scrape without these series would resolve alerts.
            page = get(f"{daemon.address}/metrics")
            assert 'vibration_alarm_state{machine="fan",axis="x"} 2' in page
            assert daemon.values("vibration_alarm_state") == [2]
            again_at_s = daemon.value("vibration_last_sample_timestamp_seconds", machine="fan")
            assert again_at_s == pytest.approx(last_sample_at_s, abs=0.5)
            assert daemon.value("vibration_last_sample_timestamp_seconds", machine="pump") < time.time() - 2
            assert daemon.values("vibration_anomaly_score") == []
            received = daemon.value("vibration_samples_received_total", machine="fan")
            assert received == (48000 if ending is signal.SIGTERM else 0)
            assert '"silent":true' in get(f"{daemon.address}/api/v1/channels").replace(" ", "")


def test_a_channel_that_is_gone_for_good_can_be_forgotten(tmp_path: Path) -> None:
    limits = f"state_dir: {tmp_path / 'state'}\nlimits: {{channels: 2}}\n"
    with mosquitto(tmp_path) as broker:
        with running_daemon(tmp_path, broker, limits) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            send(broker, "fan", noise(1, 1))
            send(broker, "pump", noise(1, 2))
            wait_for(lambda: daemon.value("vibration_channels") == 2, "two channels")
            daemon.process.terminate()
            daemon.process.wait(20)
        # What no sensor of the configuration matches any more does not come back.
        other = f"sensors: [{ {**SENSOR, 'topic': 'plant/pump/{axis}'} }]\n"
        with running_daemon(tmp_path, broker, limits + other) as daemon:
            assert daemon.value("vibration_channels") == 1
            daemon.process.terminate()
            daemon.process.wait(20)
        with running_daemon(tmp_path, broker, limits) as daemon:
            assert daemon.value("vibration_channels") == 2
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            send(broker, "third", noise(1, 3))
            wait_for(lambda: daemon.value("vibration_messages_rejected_total", reason="channel_limit"), "no room")
            daemon.process.terminate()
            daemon.process.wait(20)
        quick = "scoring: {silent_after: 1s, forget_after: 1s}\n"
        with running_daemon(tmp_path, broker, limits + quick) as daemon:
            assert daemon.value("vibration_channels") == 0
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            send(broker, "third", noise(1, 3))
            wait_for(lambda: daemon.value("vibration_channels") == 1, "the new channel")


def test_an_expected_channel_that_never_sent_is_silent_from_the_start(tmp_path: Path) -> None:
    expect = [{"machine": "fan", "axis": "x"}, {"machine": "pump", "axis": "z"}]
    text = f"sensors: [{ {**SENSOR, 'expect': expect} }]\n{SILENCE}state_dir: {tmp_path / 'state'}\n"
    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker, text) as daemon:
        assert sorted(daemon.values("vibration_last_sample_timestamp_seconds")) == pytest.approx(
            [time.time()] * 2, abs=20
        )
        assert daemon.values("vibration_channel_calibrated") in ([], [0, 0])
        wait_for(lambda: get(f"{daemon.address}/api/v1/channels").count('"silent":true') == 2, "the silence")
        assert daemon.values("vibration_channel_calibrated") == []
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        send(broker, "fan", noise(1, 1))
        wait_for(lambda: daemon.value("vibration_samples_received_total", machine="fan") == 12000, "samples")
        assert daemon.value("vibration_channels") == 2


def test_a_reload_forgets_no_channel_that_has_a_sensor(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        send(broker, "fan", noise(1, 1))
        wait_for(lambda: daemon.value("vibration_samples_received_total") == 12000, "samples")
        since_s = daemon.value("vibration_last_sample_timestamp_seconds")
        good = daemon.config.read_text()

        def reload(**change: object) -> None:
            daemon.config.write_text(good.replace(f"[{SENSOR}]", f"[{ {**SENSOR, **change} }]"))
            urllib.request.urlopen(urllib.request.Request(f"{daemon.address}/-/reload", method="POST")).close()

        # What is expected says nothing of messages: the known channel goes on, a new one is silent.
        reload(expect=[{"machine": "fan", "axis": "x"}, {"machine": "pump", "axis": "x"}])
        wait_for(lambda: daemon.value("vibration_channels") == 2, "the expected channel")
        assert daemon.value("vibration_samples_received_total", machine="fan") == 12000
        # In another unit nothing that was counted holds any more, but the sensor is still there.
        reload(unit="g")
        wait_for(lambda: daemon.values("vibration_samples_received_total") == [0], "the changed sensor")
        assert daemon.value("vibration_last_sample_timestamp_seconds") == pytest.approx(since_s, abs=0.1)


EXPECTED_MISTAKES = [
    ({"expect": [{"machine": "fan"}]}, "expect[0]: the label 'axis' is missing; name machine, axis"),
    (
        {"expect": [{"machine": "fan", "axis": "x", "site": "a"}]},
        "expect[0]: this sensor has no label 'site'; it has machine, axis",
    ),
    ({"expect": [{"machine": "a/b", "axis": "x"}]}, "expect[0]: machine 'a/b' cannot be a level of a topic"),
    (
        {"topic": "plant/+/{machine}", "expect": [{"machine": "fan"}]},
        "expect[0]: 'plant/+/{machine}' has a level without a name; write {name} instead of '+'",
    ),
    (
        {"topic": "plant/{machine}", "axes": ["x", "y"], "expect": [{"machine": "fan", "axis": "z"}]},
        "expect[0]: there is no axis 'z'; axes has x, y",
    ),
    (
        {"topic": "plant/{machine}", "labels": {"site": "a"}, "expect": [{"machine": "fan", "site": "b"}]},
        "expect[0]: the label 'site' is 'a' for all channels of this sensor",
    ),
]


@pytest.mark.parametrize(("change", "message"), EXPECTED_MISTAKES)
def test_a_mistake_in_what_is_expected_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(configuration(1, 0, f"sensors: [{ {**SENSOR, **change} }]\n"))
    command = [sys.executable, "-m", "monitor", "check-config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr


def test_a_second_daemon_on_the_same_state_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    text = f"state_dir: {folder}\n"
    with running_daemon(tmp_path, free_port(), text) as daemon:
        before = (folder / "state").stat().st_mtime_ns if (folder / "state").exists() else None
        file = tmp_path / "second.yaml"
        file.write_text(configuration(free_port(), 0, text))
        second = subprocess.run(
            [sys.executable, "-m", "monitor", "run", "--config", file],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert second.returncode == 4
        assert f"state_dir {folder} is in use by another daemon; stop it" in second.stderr
        assert "Traceback" not in second.stderr
        assert before == ((folder / "state").stat().st_mtime_ns if (folder / "state").exists() else None)
        daemon.process.kill()
        daemon.process.wait(10)
    left_over = folder / f".state.{daemon.process.pid}.part"
    left_over.write_bytes(bytes(1000))
    # A kill leaves no lock behind, and what it left half written goes.
    with running_daemon(tmp_path, free_port(), text):
        assert not left_over.exists()


def test_a_machine_that_may_reorder_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    http = {"listen": "127.0.0.1:0", "page": False}
    config = Config.model_validate({"sensors": [SENSOR], "http": http, "mqtt": {"url": "mqtt://127.0.0.1:1"}})

    async def start() -> None:
        daemon = Daemon(config)
        try:
            await daemon.start()
        finally:
            await daemon.close()

    with pytest.raises(ConfigurationError, match=r"this machine \(aarch64\) may reorder writes"):
        asyncio.run(start())
