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


def shipped_models() -> list[str]:
    """Names of the shipped models, sorted."""
    return sorted(file.parent.name for file in shipped("models").glob("*/manifest.json"))


def model_directory(given: str, folder: Path | None = None) -> Path:
    """The directory of the model that a user names: by its path, or by the name of a shipped model.

    A path that exists takes precedence, so a user's own model may be called ``reference`` too.

    Args:
        given: a path; or ``reference`` or ``models/reference``.
        folder: where a relative path starts; None: the working directory.

    Returns:
        The directory. If nothing has that name, the path as it was given; reading it then gives the error.
    """
    path = (folder or Path()) / given
    try:
        exists = path.exists()
    except OSError:  # an impossible path, such as one with too long a name
        return path
    name = given.removesuffix("/").removeprefix("models/")
    return shipped(f"models/{name}") if not exists and name in shipped_models() else path
