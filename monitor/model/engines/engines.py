"""Selects and creates the engine that runs a model.

``auto`` selects TensorFlow or JAX if a GPU is visible and one of them is installed for it, else ONNX Runtime. The
library of an engine is imported only if selected. Every engine is checked against the golden vectors before use.
"""

from pathlib import Path
from typing import Literal

from monitor.core.forecasting.forecaster import Engine
from monitor.errors import ArtefactError
from monitor.extras import installed, missing
from monitor.model.artefact.artefact import Artefact

EngineName = Literal["auto", "onnxruntime", "tensorflow", "jax"]

ON_GPU = frozenset({"tensorflow", "jax"})
"""Engines that run on a GPU where there is one."""


def gpu_visible() -> bool:
    """Whether an NVIDIA GPU is visible to this process."""
    return Path("/dev/nvidiactl").exists()


def chosen(engine: EngineName) -> EngineName:
    """Resolve ``auto``: if a GPU is visible TensorFlow, or JAX with CUDA, whichever is installed; else ONNX Runtime."""
    if engine != "auto":
        return engine
    if not gpu_visible():
        return "onnxruntime"
    if installed("tensorflow"):
        return "tensorflow"
    plugins = ("jax_cuda13_plugin", "jax_cuda12_plugin")  # JAX without one of them runs on the CPU, and slower
    return "jax" if any(map(installed, plugins)) else "onnxruntime"


def load_engine(artefact: Artefact, engine: EngineName = "auto") -> Engine:
    """Create the engine for a model and check it against the golden vectors.

    Args:
        artefact: the model.
        engine: name of the engine, or ``auto``.

    Raises:
        ArtefactError: the engine is not installed, or its forecasts differ from the golden vectors.
    """
    made: Engine
    name = chosen(engine)
    if name == "tensorflow":
        from monitor.model.engines.tensorflow_engine import TensorflowEngine

        if not installed("tensorflow"):
            raise ArtefactError(missing("tensorflow", "the engine tensorflow", "cuda" if gpu_visible() else ""))
        made = TensorflowEngine(artefact.manifest.shape, artefact.weights())
    elif name == "jax":
        from monitor.model.engines.jax_engine import JaxEngine

        if not installed("jax"):
            raise ArtefactError(missing("jax", "the engine jax"))
        made = JaxEngine(artefact.manifest.shape, artefact.weights())
    else:
        from monitor.model.engines.onnx_engine import OnnxEngine

        try:
            made = OnnxEngine(artefact.manifest.shape, artefact.contents["model.onnx"])
        except ArtefactError as error:
            raise ArtefactError(f"{artefact.path}/model.onnx: {error}; train the model again") from error
    artefact.check_golden(made)
    return made
