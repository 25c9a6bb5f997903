"""Calibrating from recordings: what is collected, and a model that explodes."""

from pathlib import Path

import numpy as np

from monitor.offline.calibration_run import Cut, calibrate_channels
from monitor.recording.options import RecordingOptions
from monitor.recording.source import Recording, open_recordings
from tests.support.channels.healthy import BLOCK, INTERVAL, signal
from tests.support.networks.numpy_engine import Exploding, NumpyEngine


def recording(folder: Path) -> Recording:
    np.savez(folder / "healthy.npz", acceleration=signal(400, 1).reshape(-1), sampling_rate_hz=1000.0, unit="m/s2")
    return open_recordings((str(folder / "healthy.npz"),), RecordingOptions())[0]


def test_a_model_that_explodes_is_said_and_not_used(tmp_path: Path) -> None:
    channels, how = [[recording(tmp_path)]], Cut(INTERVAL, 5, None)
    said: list[str] = []
    (sound,) = calibrate_channels(NumpyEngine(BLOCK), 100, channels, how, said.append)
    assert said == []
    (found,) = calibrate_channels(Exploding(BLOCK), 100, channels, how, said.append)
    assert len(said) == 1
    assert "the network has no forecast after 20 blocks" in said[0]
    assert not found.head.uses_network
    assert found.trust == found.linear_trust > 0.1
    assert found.healthy_s == sound.healthy_s
