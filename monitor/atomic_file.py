"""Writing a file so that a reader, or a kill at any instant, finds the old contents or the new ones, never a part.

The new contents are written beside the file under a hidden name, forced to disk, and renamed over it.
"""

import os
from pathlib import Path


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Replace the contents of ``path`` at once, by ``parts`` one after the other; its folder is made if it is missing.

    Raises:
        OSError: they cannot be written; the old file is still there and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with fresh.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
