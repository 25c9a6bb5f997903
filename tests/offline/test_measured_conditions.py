"""Real faults at a measured speed: a bearing learned at several speeds, each given with its recordings."""

from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.offline.backtest import ChannelResult, backtest
from monitor.offline.calibration_run import calibrate_channels, cut
from monitor.recording.conditions import Conditions
from monitor.recording.options import RecordingOptions
from monitor.recording.source import Recording, open_recordings
from monitor.shipped import shipped
from tests.benchmarks.detection_data import UESTC_FAULTS, mixtures
from tests.support.recordings import recording_file

RATE_HZ = 20_000.0


def samples(name: str) -> Float32:
    with np.load(recording_file(f"uestc/{name}.npz")) as stored:
        found: Float32 = stored["acceleration"].astype(np.float32)
    return found


class Bearing:
    """The shipped model, and calibrations from the first halves of healthy recordings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.artefact = load_artefact(shipped("models/reference"))
        self.engine = load_engine(self.artefact, "onnxruntime")
        self.healthy = {speed: np.array_split(samples(f"healthy_{speed}rpm"), 2) for speed in (800, 1000, 1200)}

    def calibrated(self, speeds: tuple[int, ...]) -> Calibration:
        recordings = self.recordings({str(speed): self.healthy[speed][0] for speed in speeds})
        how = cut(recordings, 0.1, self.artefact.manifest.warmup_blocks, self.engine.block_samples)
        given = [Conditions({"speed_rpm": float(speed)}) for speed in speeds]
        level_blocks = self.artefact.manifest.scaling.time_constant_blocks
        return calibrate_channels(self.engine, level_blocks, [recordings], how, conditions=[given])[0]

    def scored(self, calibration: Calibration, signals: dict[str, Float32], speeds: list[float]) -> list[ChannelResult]:
        recordings = self.recordings(signals)
        how = cut(recordings, 0.1, self.artefact.manifest.warmup_blocks, self.engine.block_samples)
        given = [Conditions({"speed_rpm": speed}) for speed in speeds]
        level_blocks = self.artefact.manifest.scaling.time_constant_blocks
        return backtest(self.engine, level_blocks, recordings, how, calibration, 1.0, given)

    def recordings(self, signals: dict[str, Float32]) -> list[Recording]:
        for name, signal in signals.items():
            np.savez(self.folder / f"{name}.npz", acceleration=signal, sampling_rate_hz=RATE_HZ)
        return open_recordings([str(self.folder / f"{name}.npz") for name in signals], RecordingOptions())


@pytest.fixture(scope="module")
def bearing(tmp_path_factory: pytest.TempPathFactory) -> Bearing:
    return Bearing(tmp_path_factory.mktemp("uestc"))


def worst(result: ChannelResult) -> float:
    return max(interval.score for interval in result.intervals)


def test_faults_at_the_given_speed_alarm_and_healthy_ones_do_not(bearing: Bearing) -> None:
    calibration = bearing.calibrated((800, 1000, 1200))
    healthy = {str(speed): halves[1] for speed, halves in bearing.healthy.items()}
    for result in bearing.scored(calibration, healthy, [800.0, 1000.0, 1200.0]):
        assert len(result.intervals) > 250
        assert worst(result) < 0.8
    ten_s = bearing.healthy[1000][1][: 11 * int(RATE_HZ)]
    mixed = mixtures(ten_s, [samples(name) for name in UESTC_FAULTS], -8, 1)
    found = bearing.scored(calibration, dict(zip(UESTC_FAULTS, mixed, strict=True)), [1000.0] * len(UESTC_FAULTS))
    for result in found:
        assert result.alarms(), result.name
        assert float(result.alarms()[0]["start_s"] or 0.0) < 10.0


def test_a_speed_between_is_scored_and_one_beyond_is_unknown(bearing: Bearing) -> None:
    calibration = bearing.calibrated((800, 1200))
    signal = bearing.healthy[1000][1]
    short = signal[: 5 * int(RATE_HZ)]
    between, beyond, unknown = bearing.scored(
        calibration, {"between": signal, "beyond": short, "unknown": short}, [1000.0, 1600.0, np.nan]
    )
    for result in (between, unknown):
        assert worst(result) < 0.8
        assert "unknown_condition" not in result.blocks_skipped
    assert not np.isfinite([interval.score for interval in beyond.intervals]).any()
    assert beyond.blocks_skipped["unknown_condition"] == len(beyond.intervals) * calibration.interval_blocks
    assert beyond.alarms() == []
    assert {interval.alarm_state for interval in beyond.intervals} == {0}
