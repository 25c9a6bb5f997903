"""Reads ``golden.npz``: two plain float32 arrays, parsed here because the file is not trusted.

The model's shape bounds the unpacked size before anything is unpacked. The headers must describe the arrays exactly.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32
from monitor.errors import ArtefactError
from monitor.model.network import Shape

MAX_WINDOWS = 64
"""Most golden windows in a file."""

HEADER_BYTES = 1024
"""Upper bound for the size of an array's header."""


def read_golden(file: Path, data: bytes, shape: Shape) -> tuple[Float32, Float32]:
    """Read the golden windows and their forecasts.

    Args:
        file: path for error messages.
        data: contents of the file.
        shape: dimensions of the model.

    Returns:
        (n, window_blocks, block_samples) and (n, block_samples) float32, finite, 1 to ``MAX_WINDOWS`` of them.

    Raises:
        ArtefactError: the file is damaged, too large, has wrong types or dimensions, or is not finite.
    """
    windows = _array(file, data, "windows", (shape.window_blocks, shape.block_samples))
    forecasts = _array(file, data, "forecasts", (shape.block_samples,))
    if len(windows) != len(forecasts):
        raise ArtefactError(f"{file}: has {len(windows)} windows but {len(forecasts)} forecasts; train the model again")
    return windows, forecasts


def _array(file: Path, data: bytes, name: str, expected: tuple[int, ...]) -> Float32:
    most = MAX_WINDOWS * 4 * int(np.prod(expected)) + HEADER_BYTES
    try:
        stream = io.BytesIO(_unpacked(file, data, name, most))
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"'{name}' is not a plain array of .npy version 1")  # noqa: TRY301 - one message
        found, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except ArtefactError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many types for a damaged file
        raise ArtefactError(f"{file}: is not an archive of two plain arrays: {error}; train the model again") from error
    if dtype != np.dtype("<f4") or fortran or found[1:] != expected or not 1 <= found[0] <= MAX_WINDOWS:
        raise ArtefactError(
            f"{file}: '{name}' is {dtype} {found}; the manifest's shape needs float32 (1..{MAX_WINDOWS}, "
            f"{', '.join(str(length) for length in expected)})"
        )
    rest = stream.read()
    if len(rest) != 4 * int(np.prod(found)):
        raise ArtefactError(f"{file}: '{name}' holds {len(rest)} bytes, its header says {4 * int(np.prod(found))}")
    values = np.frombuffer(rest, np.float32).reshape(found)
    if not np.isfinite(values).all():
        raise ArtefactError(f"{file}: '{name}' holds NaN or infinity; train the model again")
    return values


def _unpacked(file: Path, data: bytes, name: str, most: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo(f"{name}.npy").file_size
        if size > most:
            raise ArtefactError(f"{file}: '{name}' unpacks to {size} bytes, at most {most} were expected")
        return archive.read(f"{name}.npy")
