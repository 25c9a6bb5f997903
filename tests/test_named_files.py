"""A file, test or module that a document or a docstring names is there, also after it has moved."""

import re
from pathlib import Path

import pytest

from tests.support.programs import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "monitor/ARCHITECTURE.md", "systemd/README.md", "config/README.md")

FILES = [
    f"/{file.relative_to(ROOT)}" for folder in ("monitor", "tests", "config") for file in (ROOT / folder).rglob("*.py")
]


def found(name: str) -> list[str]:
    """The files that a document may mean: it names them from the root, or from the folder that it speaks of."""
    return [file for file in FILES if file.endswith(f"/{name}")]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_and_tests_that_a_document_names(document: str) -> None:
    missing = []
    for name, test in re.findall(r"`([a-z0-9_/]+\.py)(?:::(\w+))?", (ROOT / document).read_text()):
        files = found(name)
        if not files or (test and not any(f"def {test}(" in (ROOT / file[1:]).read_text() for file in files)):
            missing.append(f"{name}::{test}" if test else name)
    assert missing == []


def is_there(dotted: str) -> bool:
    """Whether it is a folder, a module, or a name in a module."""
    parts = dotted.split(".")
    if ROOT.joinpath(*parts).is_dir():
        return True
    modules = (ROOT.joinpath(*parts[:length]).with_suffix(".py") for length in range(len(parts), 1, -1))
    return any(module.is_file() for module in modules)


@pytest.mark.parametrize("folder", ["monitor", "tests"])
def test_modules_that_a_docstring_names(folder: str) -> None:
    missing = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in Path(ROOT / folder).rglob("*.py")
        for name in re.findall(r":\w+:`~?(monitor\.[\w.]+)`", file.read_text())
        if not is_there(name)
    ]
    assert missing == []
