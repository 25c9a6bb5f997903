"""Writing a file so that a reader, or a kill at any instant, finds the old contents or the new ones, never a part.

The new contents are written beside the file under a hidden name, forced to disk, and renamed over it.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Replace the contents of ``path`` at once, by ``parts`` one after the other; its folder is made if it is missing.

    Raises:
        OSError: they cannot be written; the old file is still there and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as fresh, fresh.open("wb") as file:
        file.writelines(parts)


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give the path of a hidden file to write; when the block ends without an error it replaces ``path`` at once.

    Args:
        path: the file; its folder exists.
        suffix: what the hidden file's name ends in, for libraries that go by it.

    Raises:
        OSError: it cannot be written; the old file is still there and nothing is left beside it.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part{suffix}")
    try:
        yield fresh
        _force_to_disk(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _force_to_disk(path.parent)


def write_folder_atomically(path: Path, contents: Mapping[str, bytes], check: Callable[[Path], object]) -> None:
    """Replace the folder ``path`` by one that holds these files only; its parent is made if it is missing.

    A folder cannot be renamed over another: a kill between two renames leaves no ``path``, and both folders, complete,
    beside it under hidden names.

    Args:
        path: the folder.
        contents: of each file, by name.
        check: called with the new folder before it takes the place; raises if the folder must not.

    Raises:
        OSError: it cannot be written; the old folder is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for name, data in contents.items():
            write_atomically(fresh / name, data)
        fresh.chmod(0o755)
        check(fresh)
        old = fresh.with_name(f"{fresh.name}-old")
        if path.exists():
            path.rename(old)
        fresh.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _force_to_disk(path.parent)


def _force_to_disk(path: Path) -> None:
    """Return when the contents of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
