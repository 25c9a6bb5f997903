"""The recordings of the detection benchmark, split by time, and the mixtures made of them."""

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import Engine
from monitor.core.forecasting.level import Level
from monitor.core.learning.block_sums import Context
from monitor.core.learning.head_fit import Stretch
from monitor.recording.decimate import Decimator

ROOT = Path(__file__).resolve().parents[2]
TRAINED = 0.51
"""The reference model's weights have seen the healthy recordings up to here; the next 9 % only decided when to stop."""

CALIBRATED = 0.76
"""Up to here limits are learned, the rest is scored."""

CWRU_FAULTS = ("B007_0", "B021_0", "IR007_0", "IR021_0", "OR007at6_0", "OR021at6_0")
UESTC_FAULTS = ("ball_1000rpm", "inner_1000rpm", "outer_1000rpm")
FEMTO_BEARINGS = ("1_1", "1_2", "2_2", "3_2")
GRAVITY_MPS2 = 9.80665


def folder() -> Path:
    """Where the recordings are."""
    return Path(os.environ.get("VIBRATION_DATA", ROOT.parent / "shared" / "data"))


def cwru(name: str, channel: str = "DE") -> Float32:
    """A recording at 12 kHz."""
    variables = loadmat(folder() / "cwru" / f"{name}.mat")
    key = next(key for key in variables if key.endswith(f"_{channel}_time"))
    samples = variables[key].ravel() * GRAVITY_MPS2
    if name.startswith("Normal"):
        decimator = Decimator(4)
        samples = np.concatenate([decimator.push(samples), decimator.finish()])
    found: Float32 = samples.astype(np.float32)
    return found


def uestc(name: str) -> Float32:
    with np.load(folder() / "uestc" / f"{name}.npz") as stored:
        samples: Float32 = stored["acceleration"].astype(np.float32)
    return samples


def gearbox(name: str, load: int = 50) -> Float32:
    """(samples, 4) at a load in percent."""
    with gzip.open(folder() / "gearbox" / f"{name}30hz{load}.csv.gz") as file:
        samples: Float32 = np.loadtxt(file, delimiter=",", skiprows=1).astype(np.float32)
    return samples


def femto(bearing: str) -> Float32:
    """(records, 2560) horizontal channel."""
    with np.load(folder() / "femto" / f"Bearing{bearing}.npz") as stored:
        records: Float32 = (stored["acceleration_mg"][:, :, 0] * (GRAVITY_MPS2 / 1000)).astype(np.float32)
    return records


@dataclass(frozen=True)
class Streams:
    """Streams beside their forecasts; the warm-up is left out of all of it."""

    samples: list[Float32]
    """(blocks, block_samples) of each, about the running mean, in the recording's unit."""
    contexts: list[Context]
    """What the network made of each, in the recording's unit."""


def forecast(engine: Engine, streams: Float32, warmup_blocks: int = 25) -> Streams:
    """Run streams (n, samples) through level and network as the pipeline does."""
    size = engine.block_samples
    n, blocks = len(streams), streams.shape[1] // size
    cut = streams[:, : blocks * size].reshape(n, blocks, size)
    level, state, rows = Level(n), engine.new_state(n), np.arange(n)
    signal, forecasts = np.empty_like(cut), np.empty_like(cut)
    following = np.zeros((n, size), np.float32)
    for block in range(blocks):
        signal[:, block] = level.centre(rows, cut[:, block])
        forecasts[:, block] = following * level.rms(rows)[:, None]
        following = engine.step(level.update(rows, signal[:, block]), state, rows)
    w = warmup_blocks
    return Streams(
        list(signal[:, w:]), [[Stretch(signal[i, w - 1], signal[i, w:], forecasts[i, w:])] for i in range(n)]
    )


def forecast_each(engine: Engine, streams: list[Float32]) -> Streams:
    """The same for streams of different lengths, (samples,) each."""
    found = [forecast(engine, one[None]) for one in streams]
    return Streams([one.samples[0] for one in found], [one.contexts[0] for one in found])


def halves(samples: Float32) -> tuple[Float32, Float32]:
    """What limits are learned from, and what is scored, for a network that has seen neither."""
    middle = len(samples) // 2
    return samples[:middle], samples[middle:]


def healthy_parts(samples: Float32) -> tuple[Float32, Float32]:
    """The part that limits are learned from, and the part that is scored."""
    first, second = int(TRAINED * samples.size), int(CALIBRATED * samples.size)
    return samples[first:second], samples[second:]


def mixtures(healthy: Float32, faults: list[Float32], level_db: float, pieces: int) -> Float32:
    """Healthy plus fault: ``pieces`` different parts of each fault, of unit variance, at a level against the healthy's.

    Returns:
        (faults * pieces, samples), the pieces of one fault together.
    """
    healthy = healthy[: min(samples.size for samples in faults)]
    gain = healthy.std() * 10 ** (level_db / 20)
    mixed = []
    for samples in faults:
        unit = (samples - samples.mean()) / samples.std()
        for piece in range(pieces):
            start = piece * (unit.size - healthy.size) // max(pieces - 1, 1)
            mixed.append(healthy + gain * unit[start : start + healthy.size])
    return np.stack(mixed).astype(np.float32)
