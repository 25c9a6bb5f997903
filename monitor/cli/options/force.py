"""The option ``--force``: without it, no command replaces what is there."""

from pathlib import Path

import click

force_option = click.option("--force", is_flag=True, help="Replace what is there.")
"""Adds the option ``--force`` to a command, which gets it as ``force``."""


def refuse_existing(path: Path | None, *, force: bool, depends: str = "", option: str = "--out") -> None:
    """Require that no file and no model is replaced, or that the user wants it; an empty file holds nothing to lose.

    Args:
        path: what would be written, a file or a model directory; None: nothing.
        force: whether the user gave ``--force``.
        depends: what else would be lost with it, as half a sentence.
        option: the option that names it.

    Raises:
        ConfigurationError: it exists.
    """
    from monitor.errors import ConfigurationError

    if path is None or force:
        return
    held = path.is_file() and path.stat().st_size
    if held or (path / "manifest.json").is_file():
        lost = f", and {depends}" if depends else ""
        raise ConfigurationError(f"{option} {path}: exists{lost}; give another name, or --force to replace it")
