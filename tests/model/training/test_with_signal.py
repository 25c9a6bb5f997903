"""Recordings that hold nothing to train on are found before the training."""

from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.errors import RecordingError
from monitor.model.training.training_run import Material, with_signal
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording

NOISE = np.random.default_rng(1).normal(size=400).astype(np.float32)
FLAT = np.full(400, 0.5, np.float32)


def material(folder: Path, **signals: Float32) -> Material:
    found = []
    for name, samples in signals.items():
        write_recording(folder / f"{name}.npz", samples, 100.0, "g")
        recording = open_recording(str(folder / f"{name}.npz"))
        found.append((recording, recording.load()))
    return found


def test_only_the_part_that_is_trained_on_counts(tmp_path: Path) -> None:
    signals = {"flat": FLAT, "late": np.concatenate([FLAT, NOISE]), "early": np.concatenate([NOISE, FLAT])}
    warnings: list[str] = []
    kept = with_signal(material(tmp_path, **signals), 0.5, warnings.append)
    assert [recording.name for recording, _ in kept] == ["early.npz"]
    assert [text.partition(":")[0] for text in warnings] == ["flat.npz", "late.npz"]
    with pytest.raises(RecordingError, match="there is nothing to forecast"):
        with_signal(material(tmp_path, flat=FLAT, late=signals["late"]), 0.5, warnings.append)
    assert len(with_signal(material(tmp_path, late=signals["late"]), 0.4, warnings.append)) == 1
