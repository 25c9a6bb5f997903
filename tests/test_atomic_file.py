"""Files and folders are replaced whole, and a failure leaves what was there."""

from pathlib import Path

import pytest

from monitor.atomic_file import replacing, write_atomically, write_folder_atomically


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"ne", memoryview(b"w"))
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(b"old")

    def half(fresh: Path) -> None:
        fresh.write_bytes(b"ne")
        raise ValueError(fresh.suffix)

    with pytest.raises(ValueError, match=r"\.npz"), replacing(path, ".npz") as fresh:
        half(fresh)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.npz"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_folder_atomically(path, {"a": b"1", "b": b"2"}, check=lambda _: None)
    write_folder_atomically(path, {"a": b"3"}, check=lambda fresh: names(fresh) == ["a"])
    assert names(path) == ["a"]
    assert names(tmp_path) == ["model"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_fails_its_check_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_folder_atomically(path, {"a": b"1"}, check=lambda _: None)

    def refuse(fresh: Path) -> None:
        raise ValueError(fresh.name)

    with pytest.raises(ValueError, match="model"):
        write_folder_atomically(path, {"a": b"2"}, check=refuse)
    assert (path / "a").read_bytes() == b"1"
    assert names(tmp_path) == ["model"]
