"""Names of capture files: the time of the alarm and the channel.

The writer of the files and the page that lists them both use this module.
"""

import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from monitor.config import Config

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}\.(?:npz|png|json)")
"""Names of the files that the page lists and serves."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def evidence_dir(config: Config) -> Path | None:
    """Folder of the captures; None without a ``state_dir``."""
    return config.state_dir / "evidence" if config.state_dir is not None else None


def channel_slug(name: str) -> str:
    """A channel's name as part of a file name: readable, safe on every file system, unique for each channel."""
    return f"{_UNSAFE.sub('_', name)[:80]}-{sha256(name.encode(errors='backslashreplace')).hexdigest()[:8]}"


def evidence_stem(name: str, at_s: float) -> str:
    """The name of a capture's files, without the extension.

    Args:
        name: name of the channel.
        at_s: UNIX seconds at which the alarm rose.
    """
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H-%M-%S}Z-{channel_slug(name)}"


def is_of_channel(file_name: str, name: str) -> bool:
    """Whether a capture file belongs to the channel with this name."""
    return file_name.rpartition(".")[0].endswith(f"Z-{channel_slug(name)}")
