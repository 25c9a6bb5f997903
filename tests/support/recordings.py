"""The recorded data that tests use; without it they skip on a user's machine and fail in CI."""

import os
from pathlib import Path

from tests.support.programs import ROOT, missing


def recording_file(name: str) -> Path:
    """The path of a recorded file such as ``cwru/Normal_0.mat``."""
    folder = Path(os.environ.get("VIBRATION_DATA", ROOT.parent / "shared" / "data"))
    file = folder / name
    if not file.is_file():
        missing(f"there is no {file}; VIBRATION_DATA names the folder of recordings")
    return file
