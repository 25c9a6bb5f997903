"""The progress of long work: a bar on a terminal; elsewhere the command prints plain lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Bar = Callable[[float, str], None]
"""Moves a progress bar to a fraction, and shows a text beside it."""


@contextmanager
def progress_bar(what: str) -> Iterator[Bar | None]:
    """A bar on standard error if that is a terminal, None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)
