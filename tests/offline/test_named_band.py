"""The band that an alarm names is where a person sees the new energy in the plain spectra: recorded and simulated."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.signal import decimate, welch

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.forecaster import CarriedForecaster
from monitor.core.pipeline import Pipeline
from monitor.demo.plant import Story, plant_channels
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.offline.calibration_run import calibrate_channels, cut
from monitor.offline.drive import due_blocks
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from monitor.shipped import shipped
from tests.support.recordings import recording_file

RATE_HZ = 12000.0


def named_hz(folder: Path, healthy: Float32, faulty: Float32, interval_s: float) -> Float64:
    """Median edges of the band that the last intervals of a faulty recording name."""
    artefact = load_artefact(shipped("models/reference"))
    engine = load_engine(artefact, "onnxruntime")
    opened = []
    for name, samples in (("healthy", healthy), ("faulty", faulty)):
        write_recording(folder / f"{name}.npz", samples, RATE_HZ, "m/s2")
        opened.append(open_recording(str(folder / f"{name}.npz")))
    how = cut(opened[:1], interval_s, artefact.manifest.warmup_blocks, engine.block_samples)
    level_blocks = artefact.manifest.scaling.time_constant_blocks
    (calibration,) = calibrate_channels(engine, level_blocks, [opened[:1]], how)
    pipeline, rows = Pipeline(CarriedForecaster(engine, 1), 1, engine.block_samples, level_blocks), np.array([0])
    pipeline.configure(rows, how.interval_blocks, how.warmup_blocks)
    pipeline.assign(rows, calibration, calibration.limit(1.0))
    judged = [
        processed.intervals.judgements
        for due in due_blocks(opened[1:], engine.block_samples, Counter())
        if (processed := pipeline.process(due, None)).intervals is not None
    ]
    last = judged[len(judged) // 2 :]
    assert min(float(one.score[0]) for one in last) > 1.0
    edges: Float64 = np.median([one.band[0] for one in last], axis=0) * RATE_HZ / 2
    return edges


def new_share(healthy: Float32, faulty: Float32, edges_hz: Float64) -> float:
    """Share of the power that rose, over all frequencies, that lies in a band: by Welch's method alone."""
    frequency, before = welch(healthy, RATE_HZ, nperseg=800)
    new = np.maximum(welch(faulty, RATE_HZ, nperseg=800)[1] - before, 0.0)
    inside = (frequency >= edges_hz[0]) & (frequency < edges_hz[1])
    return float(new[inside].sum() / new.sum())


@pytest.mark.parametrize("name", ["B007_0", "B021_0", "IR007_0", "IR021_0", "OR007at6_0", "OR021at6_0"])
def test_a_damaged_bearing(name: str, tmp_path: Path) -> None:
    def drive_end(file: str) -> Float64:
        content = loadmat(recording_file(f"cwru/{file}.mat"))
        (key,) = (key for key in content if key.endswith("_DE_time"))
        samples: Float64 = content[key].ravel() * 9.80665
        return samples

    healthy = decimate(drive_end("Normal_0"), 4, ftype="fir").astype(np.float32)
    faulty = drive_end(name).astype(np.float32)
    edges_hz = named_hz(tmp_path, healthy, faulty, 0.2)
    # The rig's resonances are at 2.7 to 3.6 kHz. By evidence alone "1500 to 4500 Hz" was named.
    assert edges_hz[1] - edges_hz[0] <= 1201.0
    assert new_share(healthy, faulty, edges_hz) > 0.4


def test_a_cracked_tooth(tmp_path: Path) -> None:
    story = Story(gear_fault_s=0.0, growth_s=30.0)
    chosen = ("gearbox-1", "drive-end")
    sound, broken = (
        next(one.simulation for one in plant_channels(told, seed) if (one.machine, one.point) == chosen)
        for told, seed in ((None, 11), (replace(story, seed=7), 7))
    )
    healthy = sound.next(round(20 * RATE_HZ))
    broken.next(round(20 * RATE_HZ))
    faulty = broken.next(round(10 * RATE_HZ))
    # It rings at 2.5 kHz and fills the spectrum. By evidence alone "5700 to 6000 Hz" was named, with 1 % of the energy.
    low_hz, high_hz = named_hz(tmp_path, healthy, faulty, 1.0)
    assert (2000.0 <= low_hz < 2500.0, 2500.0 < high_hz <= 3300.0) == (True, True)
