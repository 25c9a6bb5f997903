"""What a plant's own model foresees more: trained on the first part of healthy recordings, judged on the rest.

    python tests/benchmarks/own_model.py [--stretches N]

It prints the share of the energy of held-back stretches that is foreseen with the shipped reference and with the own
model, each as a channel that learns would use it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.core.arrays import Float32
from monitor.model.artefact.artefact import load_artefact
from monitor.model.own.samples import Sampled
from monitor.model.training.own import judge, train_own
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from monitor.shipped import shipped
from tests.support.recordings import recording_file

PLANTS = {
    "UESTC, three speeds": [f"uestc/healthy_{rpm}rpm.npz" for rpm in (800, 1000, 1200)],
    "CWRU, drive end and fan end": ["cwru/Normal_0.mat#X097_DE_time", "cwru/Normal_0.mat#X097_FE_time"],
}
STRETCH = 5000


def sampled(address: str, stretches: int) -> Sampled:
    """Evenly spread stretches of a recording."""
    name, _, key = address.partition("#")
    file = Path(recording_file(name))
    rate_hz = None if file.suffix == ".npz" else 12_000.0
    recording = open_recording(f"{file}#{key}" if key else str(file), RecordingOptions(sampling_rate_hz=rate_hz))
    samples: Float32 = np.concatenate(recording.load(own_unit=True))
    count = min(stretches, samples.size // STRETCH)
    at = np.arange(count) * (samples.size // count)
    return Sampled(address, file, recording.sampling_rate_hz, np.stack([samples[a : a + STRETCH] for a in at]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stretches", type=int, default=96)
    wanted = parser.parse_args().stretches
    base = load_artefact(shipped("models/reference"))
    for plant, addresses in PLANTS.items():
        channels = [sampled(address, wanted) for address in addresses]
        with tempfile.TemporaryDirectory() as folder:
            own = train_own(channels, base, Path(folder) / "own", lambda _: None)
            print(plant)
            judged = judge(channels, own, base, lambda text: print(f"  {text}"))
        print(f"  mean {judged.foreseen:.3f}, with reference {judged.foreseen_before:.3f}; taken: {judged.better}")


if __name__ == "__main__":
    main()
