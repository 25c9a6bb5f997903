"""Where the channels stand in the lanes, worked out once: one look reads each board once for all of its channels."""

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.core.arrays import AnyArray, Bool, Float64, Rows
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane


class ChannelRows:
    """Rows of channels in the lanes; valid while :meth:`hold` is true."""

    def __init__(self, channels: Sequence[Channel], lanes: Mapping[str, Lane]) -> None:
        self.channels = tuple(channels)
        self._places: list[tuple[Lane, Rows, Rows]] = []
        by_model: dict[str, list[int]] = {name: [] for name in lanes}
        for place, channel in enumerate(self.channels):
            by_model[channel.model].append(place)
        for name, lane in lanes.items():
            # A board is read in the order of its rows.
            own = sorted(by_model[name], key=lambda place: self.channels[place].row)
            rows = [self.channels[place].row for place in own]
            self._places.append((lane, np.array(own, np.intp), np.array(rows, np.intp)))

    def hold(self, channels: Sequence[Channel], lanes: Mapping[str, Lane]) -> bool:
        """Whether these are the same channels in the same lanes."""
        mine = [lane for lane, _, _ in self._places]
        if (len(channels), len(lanes)) != (len(self.channels), len(mine)):
            return False
        if any(lanes.get(lane.name) is not lane for lane in mine):
            return False
        return all(before is now for before, now in zip(self.channels, channels, strict=True))

    def lane_row(self, place: int) -> tuple[Lane, int]:
        """The lane of the channel at ``place``, and its row there."""
        for lane, places, rows in self._places:
            found = np.flatnonzero(places == place)
            if found.size:
                return lane, int(rows[found[0]])
        raise KeyError(place)

    def conditions(self, at_s: float) -> tuple[dict[str, Float64], dict[str, Bool]]:
        """Measured quantities at a monotonic instant: (channels,) values by name, and whether they are too old.

        A value that is unknown or too old is NaN.
        """
        value: dict[str, Float64] = {}
        stale: dict[str, Bool] = {}
        for lane, places, rows in self._places:
            found, old = lane.conditions.of(rows, at_s), lane.conditions.stale(rows, at_s)
            for column, name in enumerate(lane.conditions.names):
                value.setdefault(name, np.full(len(self.channels), np.nan))[places] = found[:, column]
                stale.setdefault(name, np.zeros(len(self.channels), np.bool_))[places] = old[:, column]
        return value, stale

    def read(self, names: Sequence[str]) -> dict[str, AnyArray]:
        """Columns of the boards, and ``blocks_received`` of the rings: (channels, ...) by name."""
        found: dict[str, AnyArray] = {}
        for lane, places, rows in self._places:
            columns = lane.board.read(names, rows) | {"blocks_received": lane.rings.blocks_received(rows)}
            for name, values in columns.items():
                if name not in found:
                    found[name] = np.zeros((len(self.channels), *values.shape[1:]), values.dtype)
                found[name][places] = values
        return found
