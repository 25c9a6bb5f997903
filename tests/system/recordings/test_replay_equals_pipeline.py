"""What the daemon says of a replayed recording is what the pipeline says of it directly."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monitor.core.forecasting.forecaster import CarriedForecaster
from monitor.core.pipeline import Pipeline
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.offline.drive import due_blocks
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from monitor.shipped import shipped
from tests.support.daemons import running_daemon
from tests.support.recordings import recording_file
from tests.support.servers import mosquitto, wait_for

pytestmark = pytest.mark.system


def test_replay_gives_the_gaps_of_the_pipeline(tmp_path: Path) -> None:
    address = f"{recording_file('cwru/IR007_0.mat')}#X105_DE_time"
    recording = open_recording(address, RecordingOptions(sampling_rate_hz=12000.0, unit="g"))
    artefact = load_artefact(shipped("models/reference"))
    engine = load_engine(artefact, "onnxruntime")
    pipeline = Pipeline(CarriedForecaster(engine, 1), 1, 100, artefact.manifest.scaling.time_constant_blocks)
    pipeline.configure(np.zeros(1, np.intp), 120, engine.window_blocks)
    expected = []
    for due in due_blocks([recording], pipeline.block_samples):
        processed = pipeline.process(due)
        if processed.intervals is not None:
            gaps = processed.intervals.gaps
            expected.append((float(gaps.gap_mps2[0]), float(gaps.gap_ratio[0]), float(gaps.rms_mps2[0])))
    sensors = (
        "sensors: [{topic: 'plant/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 12000, unit: g}]\n"
        "inference: {workers: 2}\n"
    )
    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker, sensors) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        replay = subprocess.Popen(
            [
                sys.executable, "-m", "monitor", "replay", address, "--topic", "plant/motor/x", "--speed", "2",
                "--url", f"mqtt://127.0.0.1:{broker}", "--sampling-rate-hz", "12000", "--unit", "g",
                "--message-samples", "999",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        seen: dict[float, tuple[float, ...]] = {}
        names = ("vibration_forecast_gap", "vibration_forecast_gap_ratio", "vibration_acceleration_rms")

        def finished() -> bool:
            page = daemon.page()
            if "vibration_last_score_timestamp_seconds" in page:
                seen[page["vibration_last_score_timestamp_seconds"]] = tuple(page[name] for name in names)
            return replay.poll() is not None

        wait_for(finished, "the replay to end", timeout_s=60)
        assert replay.returncode == 0
        wait_for(lambda: daemon.value("vibration_samples_received_total") == 121_265, "all samples")
        finished()
    assert len(expected) == 9
    # Scraping is not in step with scoring, so a scrape may hold an interval twice or miss one; none may be of another.
    figures = set(seen.values())
    assert len(figures) >= 6
    for figure in figures:
        assert any(figure == pytest.approx(other, rel=1e-5) for other in expected)
