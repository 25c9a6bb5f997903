"""Writes a model directory from trained weights: the Keras file, the ONNX graph, the golden vectors and the card.

Keras itself writes the Keras file, with the network that forecasts after a whole window, so any Keras program can open
it. The golden forecasts come from Keras, not from the engine that they will test.
"""

import io
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from monitor import __version__
from monitor.core.arrays import Float32
from monitor.errors import MonitorError
from monitor.model.artefact.artefact import Artefact, Scaling, save_artefact
from monitor.model.artefact.card import card
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.network import Shape, build_network

GOLDEN_WINDOWS = 4
"""Golden windows per model. Fewer: a wrong weight or gate may pass. More: only a larger file."""

LIBRARIES = ("keras", "numpy", "onnx", "onnxruntime")


def write_model(
    path: Path,
    shape: Shape,
    weights: list[Float32],
    scaling: Scaling,
    sampling_rates_hz: list[float],
    training: dict[str, Any],
) -> Artefact:
    """Write a model directory atomically.

    Args:
        path: the directory; a model in it is replaced.
        shape: dimensions of the network.
        weights: arrays as in :attr:`Shape.weight_shapes`.
        scaling: normalisation before the network.
        sampling_rates_hz: sampling rates of the recordings.
        training: JSON data with ``recordings``, ``recipe``, ``losses``, ``validation_losses``, ``seconds``, ``report``.

    Returns:
        The model, read back and checked.

    Raises:
        ArtefactError: the directory exists and is not a model.
        MonitorError: a weight is not finite, or the directory cannot be written.
    """
    if not all(np.isfinite(each).all() for each in weights):
        raise MonitorError(f"{path}: not written, because the training diverged; give a lower --learning-rate")
    network = build_network(shape, every_block=False)
    network.set_weights(weights)
    with tempfile.TemporaryDirectory(prefix="vibration-") as folder:
        file = Path(folder) / "model.keras"
        network.save(file)
        keras_bytes = file.read_bytes()
    manifest = {
        "shape": shape.model_dump(),
        "parameters": shape.parameters,
        "scaling": scaling.model_dump(),
        "sampling_rates_hz": tuple(sorted(set(sampling_rates_hz))),
        "warmup_blocks": shape.window_blocks,
        "training": training,
        "versions": {
            "vibration-monitor": __version__,
            "python": platform.python_version(),
            "tensorflow": _tensorflow_version(),
            **{name: version(name) for name in LIBRARIES},
        },
    }
    contents = {
        "model.keras": keras_bytes,
        "model.onnx": onnx_bytes(shape, weights),
        "golden.npz": _golden(shape, network),
        "README.md": card(path.name, manifest).encode(),
    }
    return save_artefact(path, manifest, contents)


def _golden(shape: Shape, network: Any) -> bytes:
    windows = golden_windows(shape)
    forecasts = np.asarray(network(windows, training=False), np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, windows=windows, forecasts=forecasts)
    return file.getvalue()


def golden_windows(shape: Shape) -> Float32:
    """Synthetic vibration of unit RMS, always the same: two tones and noise in each window.

    Returns:
        (GOLDEN_WINDOWS, window_blocks, block_samples) float32.
    """
    rng = np.random.default_rng(0)
    time = np.arange(shape.window_blocks * shape.block_samples)
    windows = []
    for _ in range(GOLDEN_WINDOWS):
        low, high = rng.uniform(0.01, 0.1), rng.uniform(0.1, 0.4)
        tones = np.sin(2 * np.pi * low * time) + 0.7 * np.sin(2 * np.pi * high * time)
        samples = tones + rng.normal(0.0, 0.5, time.size)
        windows.append(samples / samples.std())
    return np.stack(windows).astype(np.float32).reshape(GOLDEN_WINDOWS, shape.window_blocks, shape.block_samples)


def _tensorflow_version() -> str:
    import tensorflow as tf

    return str(tf.__version__)
