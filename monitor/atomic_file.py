"""Atomic writing of files: after a crash at any time, the old or the new contents are there, never a mixture.

The new contents are written to a hidden file in the same folder, synced to disk, and renamed over the old file.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

LEFT_OVER = re.compile(r"\..+\.([0-9]{1,9})\.part.*")
"""Name of a hidden file, with the number of the process that writes it."""


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Replace the contents of ``path`` atomically by the concatenated ``parts``; creates its folder if missing.

    Raises:
        OSError: writing failed; the old file is unchanged and no temporary file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as fresh, fresh.open("wb") as file:
        file.writelines(parts)


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield the path of a hidden file to write; if the block ends without an error, it replaces ``path`` atomically.

    Args:
        path: the file; its folder must exist.
        suffix: suffix of the hidden file, for libraries that derive the format from it.

    Raises:
        OSError: writing failed; the old file is unchanged and no temporary file is left.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part{suffix}")
    try:
        yield fresh
        _force_to_disk(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _force_to_disk(path.parent)


def remove_left_overs(folder: Path) -> None:
    """Delete what processes that were killed while they wrote have left in a folder and below it.

    Files that a process of this machine may be writing stay, and what cannot be deleted.
    """
    with suppress(OSError):
        for path in folder.rglob(".*.part*"):
            found = LEFT_OVER.fullmatch(path.name)
            if found is not None and not _writes(int(found[1])):
                with suppress(OSError):
                    path.unlink()


def write_folder_atomically(path: Path, contents: Mapping[str, bytes], check: Callable[[Path], object]) -> None:
    """Replace the folder ``path`` by one with only these files; creates its parent if missing.

    A folder cannot be renamed over another one, so this takes two renames. A crash between them leaves no ``path``;
    the old and the new folder are then both complete under hidden names beside it.

    Args:
        path: the folder.
        contents: contents of each file, by name.
        check: called with the new folder before it replaces the old one; an exception stops the replacement.

    Raises:
        OSError: writing failed; the old folder is unchanged.
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


def _writes(pid: int) -> bool:
    """Whether a process may be writing; ours, which in a container has the number of the one before, is not yet."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _force_to_disk(path: Path) -> None:
    """Sync a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
