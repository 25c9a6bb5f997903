"""A tiny model directory, written once."""

from pathlib import Path

import pytest

from monitor.model.artefact.artefact import Scaling
from monitor.model.artefact.write import write_model
from tests.support.networks.tiny_model import TINY, tiny_weights


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
