"""The options of every command that reads recordings: facts that a recording's file may lack."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from monitor.cli.options.duration import duration
from monitor.core.units import UNITS_MPS2
from monitor.recording.options import MAX_DECIMATE, RecordingOptions

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option("--sampling-rate-hz", type=float, metavar="HZ", help="Sampling rate, if the file has none."),
    click.option("--channel", metavar="NAME", help="Channel, by name or number from 0, if an array has several."),
    click.option(
        "--decimate",
        type=click.IntRange(1, MAX_DECIMATE),
        default=1,
        metavar="N",
        help="Keep every Nth sample after an anti-aliasing filter.",
    ),
    click.option("--unit", type=click.Choice(list(UNITS_MPS2)), help="Unit of the samples, if the file has none."),
    click.option(
        "--record-interval",
        callback=duration,
        metavar="DURATION",
        help="Time between the starts of two records, if an array has several records but no start_s.",
    ),
)
"""The options, in the order of ``--help``."""


def recording_options(command: Command) -> Callable[..., Any]:
    """Add the options to a click command and pass them on as one argument ``options``, a :class:`RecordingOptions`.

    Args:
        command: a function with a keyword argument ``options``; put this decorator under ``click.command``.

    Returns:
        The function, with the options in place of the argument.
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
