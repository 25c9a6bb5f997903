"""Options that name the file of a figure."""

from pathlib import Path

import click

from monitor.extras import require

FIGURES = (".png", ".svg", ".pdf")
"""Suffixes of the supported figure formats."""


def figure(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:  # noqa: ARG001 - click's
    """Callback of an option: a figure's file must have a known suffix, and can be drawn; else an error before any work.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    if value is not None and value.suffix.lower() not in FIGURES:
        raise click.BadParameter(f"'{value}' must end in one of {', '.join(FIGURES)}")
    if value is not None:
        require("matplotlib", f"{param.opts[0]}: drawing")
    return value
