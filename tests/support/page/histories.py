"""A history without a daemon around it."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from monitor.runtime.history.desk import HistoryDesk
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.log.internal_errors import InternalErrors


def history_desk(
    folder: Path | None = None,
    channels: Callable[[], Iterable[Channel]] = tuple,
    lanes: Callable[[], Mapping[str, Lane]] = dict,
    label_names: tuple[str, ...] = (),
    wall_s: Callable[[], float] = time.time,
) -> HistoryDesk:
    """A desk on a state directory; without one nothing is kept."""
    errors = InternalErrors(time.monotonic)
    return HistoryDesk(folder, 1024, channels, lanes, lambda: label_names, wall_s, errors)
