"""What is heavy is imported late. (That imports go one way is checked by import-linter: pyproject.toml.)"""

import ast
import subprocess
import sys
from pathlib import Path

import monitor

PACKAGE = Path(monitor.__file__).parent

HEAVY = {
    "tensorflow",
    "keras",
    "matplotlib",
    "h5py",
    "pyarrow",
    "soundfile",
    "sklearn",
    "plotly",
    "amqtt",
    "onnx",
    "jax",
    "confluent_kafka",
}


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
    assert users <= {
        "model/network.py",
        "model/training/training.py",
        "model/training/universal.py",
        "model/engines/tensorflow_engine.py",
        "model/artefact/write.py",
    }


def test_the_daemon_does_without_what_is_heavy() -> None:
    code = "import sys, monitor.runtime.daemon; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (HEAVY | {"scipy", "cryptography", "google"}) & set(done.stdout.split())
