from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from monitor.core.arrays import Float32, Numbers

Write73 = Callable[..., Path]


@pytest.fixture
def write_mat73(tmp_path: Path) -> Write73:
    """Writes a file as MATLAB 7.3 does: a header, then HDF5 with reversed axes and text as character codes."""

    def write(name: str = "recording.mat", **variables: Numbers | str) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w", userblock_size=512) as file:
            for key, value in variables.items():
                if isinstance(value, str):
                    codes = np.array([[ord(character)] for character in value], np.uint16)
                    file.create_dataset(key, data=codes).attrs["MATLAB_class"] = np.bytes_("char")
                    continue
                kind = {"f4": "single", "f8": "double"}.get(value.dtype.str[1:], value.dtype.name)
                matrix = value.reshape(-1, 1) if value.ndim < 2 else value
                file.create_dataset(key, data=matrix.T).attrs["MATLAB_class"] = np.bytes_(kind)
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        return path

    return write


@pytest.fixture
def noise() -> Float32:
    return np.random.default_rng(1).normal(size=2500).astype(np.float32)
