"""The argument MODEL of every command that uses a model: its directory, or the name of a shipped model."""

from pathlib import Path

import click

from monitor.shipped import model_directory


def named_model(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:  # noqa: ARG001 - click's
    """Callback of an argument or option: the directory of the model; None stays None."""
    return None if value is None else model_directory(value)


model_argument = click.argument("model", callback=named_model)
"""Adds the argument MODEL to a command, which gets the directory as a :class:`pathlib.Path`."""
