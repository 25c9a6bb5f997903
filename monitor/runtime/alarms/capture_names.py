"""Names of capture files: the time of the alarm and the channel.

The writer of the files and the page that lists them both use this module.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

from monitor.config.configuration import Config
from monitor.runtime.file_names import file_slug

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}\.(?:npz|png|json)")
"""Names of the files that the page lists and serves."""


def evidence_dir(config: Config) -> Path | None:
    """Folder of the captures; None without a ``state_dir``."""
    return config.state_dir / "evidence" if config.state_dir is not None else None


def evidence_stem(name: str, at_s: float) -> str:
    """The name of a capture's files, without the extension.

    Args:
        name: name of the channel.
        at_s: UNIX seconds at which the alarm rose.
    """
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H-%M-%S}Z-{file_slug(name)}"


def is_of_channel(file_name: str, name: str) -> bool:
    """Whether a capture file belongs to the channel with this name."""
    return file_name.rpartition(".")[0].endswith(f"Z-{file_slug(name)}")
