"""Reading ``golden.npz``: two plain float32 arrays, taken apart by hand so that nothing in the file decides anything.

How much is unpacked is bounded by the model's shape before it is unpacked, and the arrays' headers must say exactly
what is there. Refuses to know: engines.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32
from monitor.errors import ArtefactError
from monitor.model.network import Shape

MAX_WINDOWS = 64
"""Most golden windows."""

HEADER_BYTES = 1024
"""More than an array's header takes."""


def read_golden(file: Path, data: bytes, shape: Shape) -> tuple[Float32, Float32]:
    """The golden windows and their forecasts.

    Args:
        file: for messages.
        data: its bytes.
        shape: the model's.

    Returns:
        (n, window_blocks, block_samples) and (n, block_samples) float32, finite, 1 to ``MAX_WINDOWS`` of them.

    Raises:
        ArtefactError: damaged, too large, of other types or dimensions, or not finite.
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
            raise ValueError(f"'{name}' is no plain array of the first .npy version")  # noqa: TRY301 - one message
        found, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except ArtefactError:
        raise
    except Exception as error:  # whatever zipfile, zlib or NumPy say about a damaged file
        raise ArtefactError(f"{file}: is no archive of two plain arrays: {error}; train the model again") from error
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
