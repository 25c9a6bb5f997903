"""A desk for baselines without a daemon around it."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from monitor.runtime.baselines.desk import BaselineDesk
from monitor.runtime.baselines.store import Store
from monitor.runtime.intake.channel import Channel


def baseline_desk(
    folder: Path | None = None,
    channels: Mapping[tuple[str, ...], Channel] | None = None,
    label_names: tuple[str, ...] = (),
    *,
    learns: bool = False,
) -> BaselineDesk:
    """A desk on a state directory; without one there are no baselines."""
    clock = count(1_000)
    return BaselineDesk(
        Store(folder, lambda: float(next(clock))),
        {} if channels is None else channels,
        lambda: label_names,
        lambda _: None,
        lambda *_: None,
        lambda: learns,
    )
