"""The healthy machines of the forecast benchmark, and the check that a model has not been trained on them.

Each is a recording of ``VIBRATION_DATA`` as ``train`` takes it. A linear model is fitted to the first half of a
recording, an own network is trained on it, and the second half is judged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from monitor.core.arrays import Float32
from monitor.errors import ArtefactError
from monitor.model.artefact.artefact import Artefact
from monitor.model.training.dataset import split_in_time
from monitor.model.training.training_run import file_sha256, recordings_seen
from monitor.recording.described import open_described
from monitor.recording.options import RecordingOptions
from tests.benchmarks.detection_data import folder

CWRU = "?decimate=4&sampling-rate-hz=48000&unit=g"
RIGS = {
    "cwru": [f"cwru/Normal_0.mat#X097_{end}_time{CWRU}" for end in ("DE", "FE")],
    "uestc": [f"uestc/healthy_{speed}rpm.npz" for speed in (800, 1000, 1200)],
    # The files state no rate; nothing here depends on it.
    "gearbox": [f"gearbox/h30hz{load}.csv.gz?channel=all&sampling-rate-hz=12000" for load in (0, 20, 40, 50, 60, 80)],
    "femto": [f"femto/Bearing{bearing}.npz?channel=all&first=0.2" for bearing in ("1_1", "1_2", "2_2", "3_2")],
}
"""Addresses of the recordings of each rig; of the bearings run to failure, the first fifth of life."""


@dataclass(frozen=True)
class Healthy:
    """One channel of a healthy machine."""

    rig: str
    """Name of the rig."""
    name: str
    """Name of the recording, with its channel."""
    sha256: str
    """SHA-256 of the file."""
    address: str
    """The recording as ``train`` takes it, with its channel."""
    first: list[Float32]
    """Records of the first half."""
    last: list[Float32]
    """Records of the second half."""


sha256 = cache(file_sha256)
"""SHA-256 of a recording, which does not change while a benchmark runs."""


def rig_files(rig: str) -> dict[str, Path]:
    """The file of each address of a rig."""
    return {address: folder() / address.partition("?")[0].partition("#")[0] for address in RIGS[rig]}


def machines(rig: str, skipped: Iterable[str] = ()) -> list[Healthy]:
    """The channels of a rig, without the files whose SHA-256 is in ``skipped``."""
    found = []
    for address, file in rig_files(rig).items():
        if sha256(file) in skipped:
            continue
        for described in open_described((f"{folder() / address}",), RecordingOptions()):
            recording = described.recording
            first, last = split_in_time(recording.load(), 0.5)
            own = f"{folder() / address}".replace("channel=all", f"channel={recording.channel}")
            found.append(Healthy(rig, recording.name, sha256(file), own, first, last))
    return found


def trained_on(model: Artefact) -> dict[str, str]:
    """The benchmark's files that a model was trained on, also by the models that it started from: SHA-256 to name."""
    seen = recordings_seen(model.manifest.training)
    files = {sha256(file): file for rig in RIGS for file in rig_files(rig).values()}
    return {digest: file.name for digest, file in files.items() if digest in seen}


def require_unseen(model: Artefact) -> None:
    """Refuse a model that was trained on a recording of the benchmark.

    Raises:
        ArtefactError: it was; the message names the files.
    """
    seen = trained_on(model)
    if seen:
        raise ArtefactError(
            f"judging {model.path}: it was trained on {', '.join(sorted(seen.values()))}, and a model is judged on "
            "machines that it has not seen; give --skip-seen to leave these files out, or another model"
        )
