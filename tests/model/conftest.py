"""A tiny model directory, written once."""

from pathlib import Path

import numpy as np
import pytest

from monitor.model.artefact.artefact import Scaling
from monitor.model.artefact.write import write_model
from monitor.model.network import Shape

TINY = Shape(block_samples=8, window_blocks=4, units=(6, 5), hidden=4)


def tiny_weights(seed: int = 0) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0.0, 0.4, size).astype(np.float32) for size in TINY.weight_shapes]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    write_model(path, TINY, tiny_weights(), Scaling(), [12000.0], {"recordings": [], "losses": [1.0], "report": []})
    return path


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same shape with other weights."""
    path = tmp_path_factory.mktemp("models") / "other"
    write_model(path, TINY, tiny_weights(1), Scaling(), [12000.0], {"recordings": [], "losses": [1.0], "report": []})
    return path
