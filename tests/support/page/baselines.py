"""A desk for baselines without a daemon around it."""

from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

from monitor.runtime.baselines.desk import BaselineDesk
from monitor.runtime.baselines.store import Store
from monitor.runtime.intake.channel import Channel


def baseline_desk(
    folder: Path | None = None,
    channels: Callable[[], Iterable[Channel]] = tuple,
    label_names: tuple[str, ...] = (),
    *,
    learns: bool = False,
) -> BaselineDesk:
    """A desk on a state directory; without one there are no baselines."""
    clock = count(1_000)
    return BaselineDesk(
        Store(folder, lambda: float(next(clock))),
        channels,
        lambda: label_names,
        lambda _: None,
        lambda *_: None,
        lambda: learns,
    )
