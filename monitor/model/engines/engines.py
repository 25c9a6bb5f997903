"""Selects and creates the engine that runs a model.

``auto`` selects TensorFlow if a GPU is visible and TensorFlow is installed, else ONNX Runtime. TensorFlow is imported
only if selected. Every engine is checked against the golden vectors before use.
"""

import importlib.util
from pathlib import Path
from typing import Literal

from monitor.core.forecaster import Engine
from monitor.errors import ArtefactError
from monitor.extras import installed, missing
from monitor.model.artefact.artefact import Artefact

EngineName = Literal["auto", "onnxruntime", "tensorflow"]


def gpu_visible() -> bool:
    """Whether an NVIDIA GPU is visible to this process."""
    return Path("/dev/nvidiactl").exists()


def chosen(engine: EngineName) -> EngineName:
    """Resolve ``auto``: TensorFlow if it is installed and a GPU is visible, else ONNX Runtime."""
    if engine != "auto":
        return engine
    return "tensorflow" if gpu_visible() and importlib.util.find_spec("tensorflow") is not None else "onnxruntime"


def load_engine(artefact: Artefact, engine: EngineName = "auto") -> Engine:
    """Create the engine for a model and check it against the golden vectors.

    Args:
        artefact: the model.
        engine: name of the engine, or ``auto``.

    Raises:
        ArtefactError: the engine is not installed, or its forecasts differ from the golden vectors.
    """
    made: Engine
    if chosen(engine) == "tensorflow":
        from monitor.model.engines.tensorflow_engine import TensorflowEngine

        if not installed("tensorflow"):
            raise ArtefactError(missing("tensorflow", "the engine tensorflow", "cuda" if gpu_visible() else ""))
        made = TensorflowEngine(artefact.manifest.shape, artefact.weights())
    else:
        from monitor.model.engines.onnx_engine import OnnxEngine

        try:
            made = OnnxEngine(artefact.manifest.shape, artefact.contents["model.onnx"])
        except ArtefactError as error:
            raise ArtefactError(f"{artefact.path}/model.onnx: {error}; train the model again") from error
    artefact.check_golden(made)
    return made
