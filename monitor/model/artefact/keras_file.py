"""Reads the weights from a ``.keras`` archive, without Keras.

Only ``config.json`` and ``model.weights.h5`` are opened. The configuration is compared with the layers in the manifest;
no class that it names is built. Only the weight arrays of the shape are read, and only if they are plain: compressed,
linked or external data are rejected.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.arrays import Float32
from monitor.errors import ArtefactError
from monitor.extras import missing
from monitor.model.network import Shape

KERAS_GROUPS = ("lstm", "lstm_1", "dense", "dense_1")
"""Names of the weight groups in the file; Keras derives them from the kinds of the layers, not from their names."""

MAX_CONFIG_BYTES = 1 << 20
"""Largest ``config.json``; this network's has 5 kB."""


def read_keras_weights(file: Path, data: bytes, shape: Shape) -> list[Float32]:
    """Read the weights in the order of ``shape.weight_shapes``.

    Args:
        file: path for error messages.
        data: contents of the file.
        shape: dimensions of the model.

    Raises:
        ArtefactError: no such archive, too large, wrong layers or shapes, or a weight that is not finite.
    """
    try:
        import h5py
    except ImportError as error:
        raise ArtefactError(missing("h5py", f"{file}: reading it")) from error

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_layers(file, _unpack(file, archive, "config.json", MAX_CONFIG_BYTES), shape)
            # The file may also hold the state of an optimiser, two numbers a weight.
            stored = _unpack(file, archive, "model.weights.h5", 4 * 4 * shape.parameters + MAX_CONFIG_BYTES)
        with h5py.File(io.BytesIO(stored), "r") as h5:
            weights = [
                _dataset(file, h5, f"{group}{number}", expected)
                for (group, number), expected in zip(_places(), shape.weight_shapes, strict=True)
            ]
    except ArtefactError:
        raise
    except Exception as error:  # zipfile, json and HDF5 raise many types for a damaged file
        raise ArtefactError(f"{file}: is not a Keras archive of this network: {error}; train it again") from error
    if not all(np.isfinite(array).all() for array in weights):
        raise ArtefactError(f"{file}: holds weights that are NaN or infinite; the training failed, train it again")
    return weights


def _places() -> list[tuple[str, int]]:
    """Locations of the weights: the path of the group and the number in it."""
    return [
        (f"layers/{group}/cell/vars/" if group.startswith("lstm") else f"layers/{group}/vars/", number)
        for group in KERAS_GROUPS
        for number in range(3 if group.startswith("lstm") else 2)
    ]


def _unpack(file: Path, archive: zipfile.ZipFile, part: str, most: int) -> bytes:
    size = archive.getinfo(part).file_size
    if size > most:
        raise ArtefactError(f"{file}: {part} unpacks to {size} bytes, at most {most} were expected")
    return archive.read(part)


def _dataset(file: Path, h5: Any, place: str, expected: tuple[int, ...]) -> Float32:
    import h5py

    node = h5
    for part in place.split("/"):
        if not isinstance(node.get(part, getlink=True), h5py.HardLink):
            raise ArtefactError(f"{file}: {place} is not there, or a link to elsewhere; train the model again")
        node = node[part]
    plain = isinstance(node, h5py.Dataset) and node.chunks is None and not node.external and not node.is_virtual
    if not plain or node.dtype != np.dtype("<f4"):
        raise ArtefactError(f"{file}: {place} is not a plain float32 array; train the model again")
    if node.shape != expected:
        raise ArtefactError(f"{file}: {place} has the shape {node.shape}, the manifest's needs {expected}")
    return np.asarray(node)


def _check_layers(file: Path, config: bytes, shape: Shape) -> None:
    layers = json.loads(config)["config"]["layers"]
    kinds = [(layer["class_name"], layer["config"]["name"]) for layer in layers if layer["class_name"] != "InputLayer"]
    names = [name for name, _ in shape.layers]
    expected = [("LSTM" if name.startswith("lstm") else "Dense", name) for name in names]
    if kinds != expected:
        found = ", ".join(f"{kind} {name}" for kind, name in kinds)
        raise ArtefactError(
            f"{file}: its layers are {found}; only {', '.join(f'{k} {n}' for k, n in expected)} are used"
        )
