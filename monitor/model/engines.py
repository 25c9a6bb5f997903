"""Choosing and making the engine that runs a model.

``auto`` takes TensorFlow where a GPU is visible and TensorFlow is installed, else ONNX Runtime; TensorFlow is not
imported otherwise. Every engine answers the golden vectors before it is used.
"""

import importlib.util
from pathlib import Path
from typing import Literal

from monitor.core.forecaster import Engine
from monitor.errors import ArtefactError
from monitor.model.artefact import Artefact
from monitor.model.onnx_engine import OnnxEngine

EngineName = Literal["auto", "onnxruntime", "tensorflow"]


def gpu_visible() -> bool:
    """Whether the kernel shows an NVIDIA GPU to this process."""
    return Path("/dev/nvidiactl").exists()


def load_engine(artefact: Artefact, engine: EngineName = "auto", threads: int = 0) -> Engine:
    """The engine for a model, checked against its golden vectors.

    Args:
        artefact: the model.
        engine: which.
        threads: of the CPU engine; 0: as many as the process may use.

    Raises:
        ArtefactError: the engine is not installed, or does not agree with the model.
    """
    if engine == "auto":
        installed = importlib.util.find_spec("tensorflow") is not None
        engine = "tensorflow" if installed and gpu_visible() else "onnxruntime"
    made: Engine
    if engine == "tensorflow":
        try:
            from monitor.model.tensorflow_engine import TensorflowEngine
        except ImportError as error:
            raise ArtefactError(
                "engine tensorflow: TensorFlow is not installed; pip install 'vibration-monitor[tensorflow]' or [cuda]"
            ) from error
        made = TensorflowEngine(artefact.manifest.shape, artefact.weights())
    else:
        try:
            made = OnnxEngine(artefact.manifest.shape, artefact.contents["model.onnx"], threads)
        except ArtefactError as error:
            raise ArtefactError(f"{artefact.path}/model.onnx: {error}; train the model again") from error
    artefact.check_golden(made)
    return made
