"""The main job on recorded machines: mosquitto, the daemon as a subprocess, replay, and a real Prometheus asking."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.recordings import recording_file
from tests.support.servers import ask, free_port, mosquitto, process, prometheus, wait_for

pytestmark = pytest.mark.system

HEALTHY = ("cwru/Normal_0.mat#X097_DE_time", "48000", "4")
FAULTS = {
    "inner race": ("cwru/IR007_0.mat#X105_DE_time", "12000", "1"),
    "ball": ("cwru/B007_0.mat#X118_DE_time", "12000", "1"),
    "outer race": ("cwru/OR007at6_0.mat#X130_DE_time", "12000", "1"),
}
TOPIC = "plant/motor/de/x/acceleration"


def replay(port: int, recording: tuple[str, str, str]) -> None:
    name, rate_hz, decimate = recording
    file, _, key = name.partition("#")
    subprocess.run(
        [
            sys.executable, "-m", "monitor", "replay", f"{recording_file(file)}#{key}", "--topic", TOPIC,
            "--url", f"mqtt://127.0.0.1:{port}", "--sampling-rate-hz", rate_hz, "--decimate", decimate,
            "--unit", "g", "--duration", "4s",
        ],
        check=True,
    )  # fmt: skip


def test_the_gap_of_faults_stands_clear_of_the_healthy_one(tmp_path: Path) -> None:
    http = free_port()
    with mosquitto(tmp_path) as broker:
        (tmp_path / "config.yaml").write_text(
            f"mqtt: {{url: 'mqtt://127.0.0.1:{broker}'}}\n"
            "sensors:\n"
            "- topic: plant/{machine}/{sensor}/{axis}/acceleration\n"
            "  payload: {format: float32}\n"
            "  sampling_rate_hz: 12000\n"
            "  unit: g\n"
            f"http: {{listen: '127.0.0.1:{http}'}}\n"
        )
        (tmp_path / "prometheus.yml").write_text(
            "global: {scrape_interval: 250ms, scrape_timeout: 250ms}\n"
            f"scrape_configs: [{{job_name: vibration-monitor, static_configs: [{{targets: ['127.0.0.1:{http}']}}]}}]\n"
        )
        with (
            process(sys.executable, "-m", "monitor", "run", "--config", tmp_path / "config.yaml") as daemon,
            prometheus(tmp_path, tmp_path / "prometheus.yml") as server,
        ):
            wait_for(lambda: ask(server, "vibration_mqtt_connected == 1"), "Prometheus to see the daemon connected")
            ratios = {}
            for name, recording in {"healthy": HEALTHY, **FAULTS}.items():
                replay(broker, recording)
                query = 'avg_over_time(vibration_forecast_gap_ratio{machine="motor",axis="x"}[2s])'
                ratios[name] = wait_for(lambda: ask(server, query), f"a gap ratio of {name}")  # noqa: B023 - asked now
            print(ratios)
            assert ratios.pop("healthy") < 0.92
            assert min(ratios.values()) > 0.94
            # Until a calibration exists there is no score, and no series that says 0.
            assert ask(server, "vibration_anomaly_score") is None
            received = ask(server, "vibration_samples_received_total")
            assert received is not None
            assert received == pytest.approx(4 * 4 * 12000, abs=4 * 1200)
            assert ask(server, "sum(vibration_messages_rejected_total)") == 0
            daemon.terminate()
            assert daemon.wait(10) == 0
