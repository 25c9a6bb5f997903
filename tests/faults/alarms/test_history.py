"""The history of a real daemon: it survives a stop, a kill, and damaged files."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.alarming import calibrated, raise_alarm
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import get, mosquitto, wait_for

pytestmark = pytest.mark.system


def asked(daemon: RunningDaemon, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get(f"{daemon.address}/api/v1/history{path}"))
    return found


def alarms(daemon: RunningDaemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(daemon, "/alarms?channel=fan/x")["alarms"]
    return found


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_alarms_and_figures_come_back(tmp_path: Path, ending: signal.Signals) -> None:
    text, folder = calibrated(tmp_path), tmp_path / "state" / "history"
    with mosquitto(tmp_path) as broker:
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            raise_alarm(broker, "fan")
            wait_for(lambda: alarms(daemon), "the alarm in the history")
            wait_for(lambda: asked(daemon, "?channel=fan/x")["figures"]["score"]["mean"], "the open minute")
            before = alarms(daemon)
            assert before[0]["state"] == "alarm"
            assert before[0]["peak_score"] > 1.0
            if ending is signal.SIGKILL:
                wait_for((folder / "alarms.json").is_file, "a save", 60)
            daemon.process.send_signal(ending)
            daemon.process.wait(60)
        with running_daemon(tmp_path, broker, text) as daemon:
            (after,) = alarms(daemon)
            assert (after["start_s"], after["end_s"]) == (before[0]["start_s"], None)
            assert after["peak_score"] >= before[0]["peak_score"]
            score = asked(daemon, "?channel=fan/x&over=hours")["figures"]["score"]
            if ending is signal.SIGTERM:
                assert max(value or 0.0 for value in score["maximum"]) > 1.0


def test_damaged_files_start_empty_and_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "history"
    folder.mkdir(parents=True)
    for name in ("hours", "days", "weeks", "healthy", "alarms.json", "channels.json"):
        (folder / name).write_bytes(b"\xff\x00nonsense" * 100)
    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker, calibrated(tmp_path)) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        raise_alarm(broker, "fan")
        wait_for(lambda: alarms(daemon), "the alarm in the history")
        wait_for(lambda: asked(daemon, "?channel=fan/x")["figures"]["rms"]["mean"], "the open minute")
        log = daemon.log.read_text()
        for name in ("alarms.json", "channels.json"):
            assert f"history/{name} reason=" in log, name
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
    for name in ("hours", "healthy", "alarms.json", "channels.json"):
        assert (folder / f"{name}.bad").is_file(), name
