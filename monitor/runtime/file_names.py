"""Names of files about a channel: readable, safe on every file system, and different for every channel."""

import re
from hashlib import sha256

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def file_slug(name: str, identity: str | None = None) -> str:
    """A channel's name as part of a file name.

    Args:
        name: the channel's name, of which the readable part is made.
        identity: what tells it from every other channel; None: its name does.
    """
    digest = sha256((name if identity is None else identity).encode(errors="backslashreplace")).hexdigest()
    return f"{_UNSAFE.sub('_', name)[:80]}-{digest[:8]}"
