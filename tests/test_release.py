"""A release can be verified: who builds the same tree gets the same bytes."""

import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from tests.support.programs import ROOT


def built(tree: Path, out: Path, **environment: str) -> dict[str, bytes]:
    """Source archive and wheel of a tree, by name."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", out],
        cwd=tree, env={**os.environ, **environment}, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    return {file.name: file.read_bytes() for file in out.iterdir()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return built(ROOT, tmp_path_factory.mktemp("first"))


def test_two_builds_of_a_tree_are_the_same_bytes(first: dict[str, bytes], tmp_path: Path) -> None:
    assert sorted(Path(name).suffix for name in first) == [".gz", ".whl"]
    (archive,) = (name for name in first if name.endswith(".tar.gz"))
    (tmp_path / archive).write_bytes(first[archive])
    with tarfile.open(tmp_path / archive) as packed:
        packed.extractall(tmp_path, filter="data")
    tree = tmp_path / archive.removesuffix(".tar.gz")
    for path in tree.rglob("*"):  # another person's checkout: other times, other permissions
        os.utime(path, (1_900_000_000, 1_900_000_000))
        path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
    (tree / "monitor" / "__pycache__").mkdir()
    (tree / "monitor" / "__pycache__" / "cli.pyc").write_bytes(b"x")
    second = built(tree, tmp_path / "second", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7")
    assert second == first


def test_the_stamp_of_the_files_can_be_given(first: dict[str, bytes], tmp_path: Path) -> None:
    given = built(ROOT, tmp_path, SOURCE_DATE_EPOCH="1700000000")
    assert given.keys() == first.keys()
    assert all(given[name] != first[name] for name in first)


def test_the_builder_has_one_version() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    (builder,) = project["build-system"]["requires"]
    assert "==" in builder
    assert builder in project["project"]["optional-dependencies"]["test"]
