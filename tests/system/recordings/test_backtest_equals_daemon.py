"""What ``backtest`` says of a recording is what the daemon exports while the same recording is replayed to it."""

import csv
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitor.shipped import shipped
from tests.support.commands import document, output
from tests.support.daemons import running_daemon
from tests.support.servers import mosquitto, process, wait_for

pytestmark = pytest.mark.system

COLUMNS = {
    "score": "vibration_anomaly_score",
    "alarm_state": "vibration_alarm_state",
    "gap": "vibration_forecast_gap",
    "gap_ratio": "vibration_forecast_gap_ratio",
    "gap_whitened": "vibration_forecast_gap_whitened",
    "rms": "vibration_acceleration_rms",
}
SENSORS = """
models: {{default: models/demo}}
limits: {{buffer: 30s}} # the whole recording: none of it may be skipped on a busy machine
sensors:
- topic: plant/{{machine}}/{{axis}}
  payload: {{format: float32}}
  sampling_rate_hz: 12000
  calibration: {calibration}
"""


def test_the_daemon_exports_the_scores_of_backtest(tmp_path: Path) -> None:
    recordings = {name: tmp_path / f"{name}.npz" for name in ("healthy", "faulty")}
    calibration, table = tmp_path / "fan.calibration", tmp_path / "table.csv"
    fault = ("--fault", "outer-race", "--fault-start", "4s", "--fault-growth", "1s")
    output("simulate", "--out", recordings["healthy"], "--duration", "12s", "--seed", "1")
    output("simulate", "--out", recordings["faulty"], "--duration", "8s", "--seed", "2", *fault)
    model = shipped("models/demo")
    output("calibrate", model, recordings["healthy"], "--out", calibration)
    found = document("backtest", model, *recordings.values(), "--calibration", calibration, "--csv", table)
    channels = {channel["name"]: channel for channel in found["channels"]}
    with table.open(newline="") as file:
        last = {row["channel"]: row for row in csv.DictReader(file)}
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        daemon = stack.enter_context(running_daemon(tmp_path, broker, SENSORS.format(calibration=calibration)))
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        for name, recording in recordings.items():
            stack.enter_context(
                process(
                    sys.executable, "-m", "monitor", "replay", recording, "--topic", f"plant/{name}/x", "--speed", "4",
                    "--url", f"mqtt://127.0.0.1:{broker}", "--message-samples", "777", stdout=subprocess.DEVNULL,
                )
            )  # fmt: skip
        for name in recordings:
            blocks = channels[f"{name}.npz"]["blocks_scored"]
            wait_for(
                lambda: daemon.value("vibration_blocks_scored_total", machine=name) == blocks,  # noqa: B023 - asked now
                f"{blocks} scored blocks of {name}",
            )
            row = last[f"{name}.npz"]
            exported = {column: daemon.values(metric, machine=name) for column, metric in COLUMNS.items()}
            expected = {column: pytest.approx([float(row[column])], abs=1e-4, rel=1e-5) for column in COLUMNS}
            assert exported == expected
        assert daemon.value("vibration_anomaly_score", machine="healthy") < 1.0
        assert daemon.value("vibration_anomaly_score", machine="faulty") > 2.0
        skipped = {
            name: daemon.value("vibration_blocks_skipped_total", machine=name, reason="warm_up") for name in recordings
        }
        assert skipped == {name: channels[f"{name}.npz"]["blocks_skipped"]["warm_up"] for name in recordings}
