import importlib.util

import pytest

from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines import engines
from monitor.model.engines.engines import chosen, load_engine
from monitor.shipped import shipped


@pytest.mark.parametrize(
    ("gpu", "libraries", "engine"),
    [
        (False, {"tensorflow", "jax", "jax_cuda13_plugin"}, "onnxruntime"),
        (True, {"tensorflow", "jax", "jax_cuda13_plugin"}, "tensorflow"),
        (True, {"jax", "jax_cuda13_plugin"}, "jax"),
        (True, {"jax", "jax_cuda12_plugin"}, "jax"),
        (True, {"jax"}, "onnxruntime"),
        (True, set(), "onnxruntime"),
    ],
)
def test_the_engine_that_auto_takes(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, libraries: set[str], engine: str
) -> None:
    monkeypatch.setattr(engines, "gpu_visible", lambda: gpu)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in libraries else None)
    assert chosen("auto") == engine
    assert chosen("jax") == "jax"


def test_the_reference_runs_on_jax_within_its_golden_forecasts() -> None:
    artefact = load_artefact(shipped("models/reference"))
    engine = load_engine(artefact, "jax")
    assert engine.name == "jax"
    assert artefact.check_golden(engine) < 1e-4
