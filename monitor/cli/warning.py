"""A warning: the command goes on, and its output stays clean."""

import click


def warn(text: str) -> None:
    """Print a warning to standard error; nothing if ``text`` is empty."""
    if text:
        click.echo(f"warning: {text}", err=True)
