"""A plant for the tests of its own model: a small network that knows nothing, and a bearing rig to be foreseen."""

from functools import cache
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.units import UNITS_MPS2
from monitor.model.artefact.artefact import Artefact, Scaling
from monitor.model.artefact.write import write_model
from monitor.model.network import Shape
from monitor.model.own.samples import About, Samples
from monitor.model.own.state import OwnState, Phase, write_state
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from tests.support.recordings import recording_file

RATE_HZ = 12_000
SMALL = Shape(block_samples=100, window_blocks=10, units=(24, 24), hidden=24)
STRETCH = 2 * SMALL.window_blocks * SMALL.block_samples


def unknowing(folder: Path, seed: int = 0) -> Artefact:
    """A model with random weights."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0.0, 0.1, size).astype(np.float32) for size in SMALL.weight_shapes]
    empty = {"recordings": [], "recipe": {}, "losses": [], "validation_losses": [], "seconds": 0.0, "report": []}
    return write_model(folder, SMALL, weights, Scaling(time_constant_blocks=100), [RATE_HZ], empty)


@cache
def rig() -> Float32:
    """A healthy CWRU bearing rig, 20 s at 12 kHz in m/s²; a network foresees a third more of it than an AR model."""
    options = RecordingOptions(sampling_rate_hz=RATE_HZ, unit="g")
    file = f"{recording_file('cwru/Normal_0.mat')}#X097_DE_time"
    (samples,) = open_recording(file, options).load(own_unit=True)
    return samples * np.float32(UNITS_MPS2["g"])


def sampled(folder: Path, base: Artefact, signals: dict[str, Float32], stretches: int = 40) -> None:
    """What a daemon leaves when it has sampled the signals."""
    samples = Samples(folder)
    for name, signal in signals.items():
        samples.abouts[name] = About(f"{name}/x", RATE_HZ, 1.0, 60.0)
        step = (signal.size - STRETCH) // stretches
        for number in range(stretches):
            samples.append(name, signal[number * step : number * step + STRETCH], number)
    samples.save(samples.index())
    state = OwnState(model="default", base=str(base.path), base_sha256=base.sha256, phase=Phase.TRAINING)
    write_state(folder, state)
