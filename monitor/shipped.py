"""Where the files that come with the package lie: models, example configuration, rules, dashboards, the unit.

In a wheel they are inside the package; in a source tree (and an editable installation) beside it.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The path of a shipped file or folder such as ``models/reference`` or ``config/example.yaml``.

    The path is returned whether or not it exists; the caller's error names it.
    """
    inside = PACKAGE / "shipped"
    return (inside if inside.is_dir() else PACKAGE.parent) / name
