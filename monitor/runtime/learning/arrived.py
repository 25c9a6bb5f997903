"""What came of a channel's learning from another worker: a document, which waits until the channel comes as well.

It is the file of what is kept (:mod:`kept_file`), with how far the channel was in a first line. The learner looks here
when it takes up a channel, and uses whatever is newer. Does not handle: how it travels (``travel``).
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from monitor.atomic_file import write_atomically
from monitor.errors import ArtefactError
from monitor.runtime.learning.kept_file import KeptFile
from monitor.runtime.learning.progress import HowFar

ARRIVED = "arrived"
"""Name of the folder, in that of the learner's files."""

MOST_LINE_BYTES = 65_536
"""Longest first line; labels and topic make it longer than 1 kB only on purpose."""


class Heading(msgspec.Struct, frozen=True):
    """The first line: whose file follows."""

    labels: dict[str, str]
    """The labels of the channel that are not empty."""
    how_far: HowFar | None
    """How far it was; None: it does not learn any more."""


@dataclass(frozen=True)
class Arrived:
    """What came from another worker of a channel."""

    how_far: HowFar
    """How far it was."""
    file: KeptFile
    """Its file, which is not in its place yet."""
    data: bytes
    """What the file contains."""


def arrived(folder: Path, path: Path) -> Arrived | None:
    """What came of the channel whose file is, or would be, at ``path``; None: nothing that can be used."""
    try:
        heading, data = parsed((folder / ARRIVED / path.stem).read_bytes())
        file = KeptFile.of(path, data)
    except (OSError, ValueError, ArtefactError):
        return None
    return Arrived(heading.how_far or HowFar(file.about.key, file.following, head=file.head), file, data)


def install(came: Arrived) -> None:
    """Make what came the file of its channel.

    Raises:
        OSError: it cannot be written; nothing is changed.
    """
    whole = len(came.data) - came.file.torn_bytes
    write_atomically(came.file.path, came.data[:whole])


def consumed(folder: Path, path: Path) -> None:
    """Delete what came of a channel whose file is newer now."""
    with contextlib.suppress(OSError):
        (folder / ARRIVED / path.stem).unlink(missing_ok=True)


def parsed(document: bytes) -> tuple[Heading, bytes]:
    """Whose file is in a document, and what it contains.

    Raises:
        ArtefactError: it is no such document.
    """
    end = document.find(b"\n", 0, MOST_LINE_BYTES)
    try:
        heading = msgspec.json.decode(document[: max(0, end)], type=Heading)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"it is not what a channel learns from: {error}") from error
    return heading, document[end + 1 :]
