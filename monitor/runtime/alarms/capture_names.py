"""How files of evidence are called: when the alarm rose and of which channel it was.

One place for the name, so that who writes the files and who lists them agree.
"""

import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from monitor.config import Config

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}\.(?:npz|png|json)")
"""Names of files that are listed and served."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def evidence_dir(config: Config) -> Path | None:
    """Where evidence is kept, None without a ``state_dir``."""
    return config.state_dir / "evidence" if config.state_dir is not None else None


def channel_slug(name: str) -> str:
    """A channel's name as part of a file's: readable, safe everywhere, and different for different channels."""
    return f"{_UNSAFE.sub('_', name)[:80]}-{sha256(name.encode(errors='backslashreplace')).hexdigest()[:8]}"


def evidence_stem(name: str, at_s: float) -> str:
    """The name, without ending, of the evidence of an alarm.

    Args:
        name: the channel's.
        at_s: UNIX seconds at which the alarm rose.
    """
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H-%M-%S}Z-{channel_slug(name)}"


def is_of_channel(file_name: str, name: str) -> bool:
    """Whether a file of evidence is of this channel."""
    return file_name.rpartition(".")[0].endswith(f"Z-{channel_slug(name)}")
