"""Imports go one way, and what is heavy is imported late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import monitor

PACKAGE = Path(monitor.__file__).parent

LAYERS = {
    "core": {"core", "errors"},
    "model": {"model", "core", "errors", "config", "recording", "atomic_file"},
    "recording": {"recording", "core", "errors", "config"},
    "runtime": {
        *("runtime", "model", "recording", "core", "errors"),
        *("atomic_file", "config", "config_file", "quantities", "shipped"),
    },
    "cli": {
        *("cli", "runtime", "model", "recording", "core", "errors"),
        *("config", "config_file", "quantities", "shipped"),
    },
}
"""What each layer may import of the package, besides the package's own version."""

HEAVY = {"tensorflow", "keras", "matplotlib", "h5py", "pyarrow", "soundfile", "sklearn", "plotly", "amqtt", "onnx"}


def imports(file: Path) -> list[tuple[str, bool]]:
    """Names of imported modules, and whether the import stands at the top of the module."""
    tree = ast.parse(file.read_text())
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, id(node) in top))
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below(layer: str) -> None:
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in (PACKAGE / layer).rglob("*.py")
        for name, _ in imports(file)
        if name.startswith("monitor.") and name.split(".")[1] not in LAYERS[layer]
    ]
    assert wrong == []


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    early = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in PACKAGE.rglob("*.py")
        for name, top in imports(file)
        if top and name.split(".")[0] in HEAVY
    ]
    assert early == []


def test_tensorflow_stays_in_network_training_and_its_engine() -> None:
    users = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        for name, _ in imports(file)
        if name.split(".")[0] in {"tensorflow", "keras"}
    }
    assert users <= {"model/network.py", "model/training.py", "model/tensorflow_engine.py", "model/write.py"}


def test_the_daemon_does_without_what_is_heavy() -> None:
    code = "import sys, monitor.runtime.daemon; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (HEAVY | {"scipy"}) & set(done.stdout.split())
