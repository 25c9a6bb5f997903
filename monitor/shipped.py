"""Locations of the files shipped with the package: models, example configuration, rules, dashboards, systemd unit.

In a wheel they are inside the package; in a source tree or an editable installation they are beside it.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The path of a shipped file or folder such as ``models/reference`` or ``config/example.yaml``.

    The path may not exist; the caller reports that.
    """
    inside = PACKAGE / "shipped"
    return (inside if inside.is_dir() else PACKAGE.parent) / name
