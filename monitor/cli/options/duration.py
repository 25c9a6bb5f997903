"""Options that are a duration, such as ``500ms`` or ``1h``."""

import click

from monitor.quantities import seconds


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001 - click's
    """Callback of an option: ``500ms``, ``10s``, ``1h`` or a number of seconds, as seconds; else a usage error."""
    try:
        return None if value is None else float(seconds(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
