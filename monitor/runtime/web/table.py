"""One row a channel: what the lanes' boards say, gathered for whoever shows it, the metrics as well as the page.

Each board is read once for all of its channels, so what a table says of a channel comes from one batch. A figure that
does not exist is NaN. A channel that fell silent has no figures either; it keeps its alarm state while that is not ok:
a machine that was in alarm when its sensor died is still in alarm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import AnyArray, Bool, Float64, Rows
from monitor.core.scoring.alarm import State
from monitor.core.scoring.kinds import KINDS
from monitor.core.scoring.plausibility import REFUSALS
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.web.view import View

FIGURES = ("score", "alarm_state", "gap", "gap_ratio", "gap_whitened", "rms", "peak", "coverage")
"""Figures of an interval, as the boards name them."""

REASONS = (None, *REFUSALS)
"""Why an interval was refused, by its code."""


class Places:
    """Where some channels stand in the lanes; valid as long as :meth:`hold` says."""

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
        """The lane of a channel and its row there."""
        for lane, places, rows in self._places:
            found = np.flatnonzero(places == place)
            if found.size:
                return lane, int(rows[found[0]])
        raise KeyError(place)

    def read(self, names: Sequence[str]) -> dict[str, AnyArray]:
        """Columns of the boards, and ``blocks_received`` of the rings, with one row a channel: by name, (n, ...)."""
        found: dict[str, AnyArray] = {}
        for lane, places, rows in self._places:
            columns = lane.board.read(names, rows) | {"blocks_received": lane.rings.blocks_received()[rows]}
            for name, values in columns.items():
                if name not in found:
                    found[name] = np.zeros((len(self.channels), *values.shape[1:]), values.dtype)
                found[name][places] = values
        return found


@dataclass(frozen=True)
class ChannelTable:
    """The channels at one instant, one row of every array each."""

    channels: tuple[Channel, ...]
    """The channels, in order of their first appearance."""
    figures: dict[str, Float64]
    """Each of :data:`FIGURES`; NaN: there is none."""
    evidence: dict[str, Float64]
    """What speaks for a fault, by its name, on the scale of the score; NaN: there is none."""
    band_hz: Float64
    """(n, 2) the band that stands out most; NaN: there is none."""
    refusal: list[str | None]
    """Why the last interval was not scored, None if it was."""
    age_s: Float64
    """Seconds since the last samples."""
    silent: Bool
    """Which channels have been without samples for longer than the configuration allows."""
    columns: dict[str, AnyArray]
    """Further columns of the boards, as they stand there, and ``blocks_received``."""


EMPTY = ChannelTable(
    (),
    {name: np.zeros(0) for name in FIGURES},
    {kind.value: np.zeros(0) for kind in KINDS},
    np.zeros((0, 2)),
    [],
    np.zeros(0),
    np.zeros(0, np.bool_),
    {},
)
"""The table before anything was read."""


def read_table(view: View, places: Places | None = None, more: Sequence[str] = ()) -> ChannelTable:
    """Read the boards.

    Args:
        view: whose channels.
        places: of the channels that are wanted; all without.
        more: further columns of the boards that are wanted.
    """
    places = places or Places(tuple(view.ingest.channels.values()), view.lanes)
    channels = places.channels
    seen = places.read((*FIGURES, "evidence", "band", "refusal", *more))
    figures = {name: seen[name].astype(np.float64) for name in FIGURES}
    evidence = {kind.value: seen["evidence"][:, number].astype(np.float64) for number, kind in enumerate(KINDS)}
    rates_hz = np.array([channel.sensor.sampling_rate_hz for channel in channels])
    age_s = view.now_s - np.array([channel.last_sample_s for channel in channels])
    silent = age_s > view.silent_after_s
    state = figures["alarm_state"]
    state[state < 0] = np.nan
    left_in_alarm = state > State.OK
    for name, values in (*figures.items(), *evidence.items()):
        values[silent & ~left_in_alarm if name == "alarm_state" else silent] = np.nan
    return ChannelTable(
        channels,
        figures,
        evidence,
        seen["band"] * rates_hz[:, None] / 2,
        [REASONS[code] for code in seen["refusal"].tolist()],
        age_s,
        silent,
        {name: seen[name] for name in (*more, "blocks_received")},
    )
