"""The options that every command which reads recordings has: what a recording's file does not say itself."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from monitor.core.units import UNITS_MPS2
from monitor.quantities import seconds
from monitor.recording.options import MAX_DECIMATE, RecordingOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001 - click's
    """An option's callback: ``500ms``, ``10s``, ``1h`` or a number of seconds, as seconds; a usage error otherwise."""
    try:
        return None if value is None else float(seconds(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def warn(text: str) -> None:
    """Print a warning where it does not mix with results; nothing if it is empty."""
    if text:
        click.echo(f"warning: {text}", err=True)


def figure(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:  # noqa: ARG001 - click's
    """An option's callback: a figure's file must end in a format that is drawn; a usage error before any work."""
    if value is not None and value.suffix.lower() not in FIGURES:
        raise click.BadParameter(f"'{value}' must end in one of {', '.join(FIGURES)}")
    return value


FIGURES = (".png", ".svg", ".pdf")
"""Formats of figures."""

OPTIONS = (
    click.option("--sampling-rate-hz", type=float, metavar="HZ", help="Rate of the file's samples where it says none."),
    click.option("--channel", metavar="NAME", help="Channel, by name or number from 0, where an array has several."),
    click.option(
        "--decimate",
        type=click.IntRange(1, MAX_DECIMATE),
        default=1,
        metavar="N",
        help="Keep one sample of N, anti-aliased; the rate is divided by N.",
    ),
    click.option("--unit", type=click.Choice(list(UNITS_MPS2)), help="Unit of the file's samples where it says none."),
    click.option(
        "--record-interval",
        callback=duration,
        metavar="DURATION",
        help="From the start of one record to that of the next, where an array holds several records and no start_s.",
    ),
)
"""In the order in which ``--help`` lists them."""


def recording_options(command: Command) -> Callable[..., Any]:
    """Give a click command the options and pass them on as one argument ``options``, a :class:`RecordingOptions`.

    Args:
        command: a function with a keyword argument ``options``; put this decorator under ``click.command``.

    Returns:
        The function with the options instead of the argument.
    """

    @wraps(command)
    def with_options(
        *args: Any,
        sampling_rate_hz: float | None,
        channel: str | None,
        decimate: int,
        unit: str | None,
        record_interval: float | None,
        **others: Any,
    ) -> Any:
        options = RecordingOptions(sampling_rate_hz, channel, decimate, unit, record_interval)
        return command(*args, options=options, **others)

    decorated: Callable[..., Any] = with_options
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated
