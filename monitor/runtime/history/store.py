"""The store: round-robin cells of every channel's figures, ever coarser and never more than the disk that is planned.

Only the minute that is open is in memory. When it ends, its cells are written in one piece; when a quarter of an hour
ends, its cell is made of the minutes on disk, and so on. So a kill loses a minute, a restart goes on where it was, and
a coarse cell whose end the daemon missed is made at the next start. Time is the wall clock: when it is set back, cells
are replaced by later ones of the same time, and what lies in the future is not read; a jump ahead leaves a gap.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32, Float64, Floats, Int64, Rows
from monitor.runtime.history.cells import QUANTITIES, TIERS, decode, encode, together
from monitor.runtime.history.places import Identity, Places
from monitor.runtime.history.ring_file import RingFile

LOG = logging.getLogger(__name__)

LEAST_PLACES, MOST_PLACES = 1024, 16_384
"""Channels that files have room for: as many as ``limits.channels``, in powers of two. Room that is not used takes no
disk. More than the most: the write of a minute takes more than a second."""


@dataclass(frozen=True, slots=True)
class Series:
    """The history of one channel in cells of one length."""

    period_s: int
    """Seconds of a cell."""
    start_s: float
    """UNIX seconds at which the first cell begins."""
    mean: dict[str, Floats]
    """(cells,) mean of each figure, by name; NaN: no data."""
    top: dict[str, Floats]
    """(cells,) maximum of each figure, by name; NaN: no data."""

    @property
    def at_s(self) -> Float64:
        """(cells,) UNIX seconds of the middle of each cell."""
        count = len(next(iter(self.mean.values())))
        return np.asarray(self.start_s + self.period_s * (np.arange(count) + 0.5))


class Store:
    """The cells of all channels; safe to be used by several threads."""

    def __init__(self, folder: Path, channels: int) -> None:
        """Open the files in ``folder``, or make them, for ``channels`` channels.

        Raises:
            OSError: they can be neither read nor written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        most = LEAST_PLACES
        while most < min(channels, MOST_PLACES):
            most *= 2
        self.most = most
        """Channels that there is room for."""
        self._lock = threading.RLock()
        self._places = Places(folder, most)
        self._unsaved = False
        self._files = [RingFile(folder / tier.over, tier, most, QUANTITIES) for tier in TIERS]
        self._sum: Float64 = np.zeros((most, len(QUANTITIES)))
        self._count: Int64 = np.zeros((most, len(QUANTITIES)), np.int64)
        self._top: Float32 = np.full((most, len(QUANTITIES)), -np.inf, np.float32)
        self._minute = -1
        """Number of the open cell of the finest tier; -1: none."""
        self._before: Floats | None = None
        """What an earlier run has of the minute that was open when this one began: (places, quantities, 2)."""

    def places(self, identities: Sequence[Identity], now_s: float) -> Rows:
        """(channels,) the place of each of the present channels; -1 where there is none. :meth:`add` writes them."""
        with self._lock:
            self._unsaved |= self._places.take(identities, now_s)
            return np.array([self.place(one) for one in identities], np.intp)

    def place(self, identity: Identity) -> int:
        """The place of a channel; -1: it has none."""
        return self._places.of.get(identity, (-1, 0.0))[0]

    def add(self, places: Rows, values: Float32, now_s: float) -> None:
        """Add figures, (n, quantities) at distinct ``places``; NaN: no figure. Writes the cells that have ended.

        Raises:
            OSError: cells, or who has which place, cannot be written. Such cells are lost; the rest is tried again.
        """
        with self._lock:
            minute = int(now_s // TIERS[0].period_s)
            try:
                if minute != self._minute:
                    began = self._minute < 0
                    self._end(now_s)
                    stored = self._files[0].row(minute) if began else None
                    self._before = None if stored is None else decode(stored)
            finally:
                self._minute = minute
                kept = places >= 0
                places, values = places[kept], values[kept]
                known = np.isfinite(values)
                self._sum[places] += np.where(known, values, 0.0)
                self._count[places] += known
                self._top[places] = np.maximum(self._top[places], np.where(known, values, -np.inf))
            if self._unsaved:
                self._places.save()
                self._unsaved = False

    def close(self, now_s: float) -> None:
        """Write the open cell and close the files. Raises OSError if it cannot be written."""
        with self._lock:
            try:
                self._end(now_s)
            finally:
                for file in self._files:
                    file.close()

    def read(self, identity: Identity, over: str, now_s: float, last_s: float = float("inf")) -> Series | None:
        """The history of a channel over at most the ``last_s`` seconds up to now; None if the channel has none.

        ``over`` is the name of a tier.

        Raises:
            OSError: it cannot be read.
        """
        with self._lock:
            level = [tier.over for tier in TIERS].index(over)
            tier = TIERS[level]
            found = self._places.of.get(identity)
            if found is None:
                return None
            place, since_s = found
            last = int(now_s // tier.period_s)
            since_s = since_s if since_s <= now_s else 0.0  # the clock was ahead when the channel came
            since_s = max(since_s, now_s - last_s)
            first = max(last - tier.cells + 1, int(since_s // tier.period_s))
            numbers = np.arange(min(first, last), last + 1)
            cells = decode(self._files[level].column(numbers, place))
            cells[-1] = self._open_cell(level, last, place)
            known = np.flatnonzero(np.isfinite(cells[..., 0]).any(axis=1))
            cells = cells[known[0] if known.size else -1 :]
            start_s = float((last - len(cells) + 1) * tier.period_s)
            names = range(len(QUANTITIES))
            mean, top = ({QUANTITIES[at]: cells[:, at, part] for at in names} for part in (0, 1))
            return Series(tier.period_s, start_s, mean, top)

    def _open_cell(self, level: int, number: int, place: int) -> Floats:
        """The cell of the present, (quantities, 2), which is not on disk, or not as a whole."""
        if level == 0:
            if number != self._minute:
                return np.asarray(decode(self._files[0].column(np.array([number]), place))[0])
            return np.asarray(self._minute_so_far(place + 1)[place])
        ratio = TIERS[level].period_s // TIERS[level - 1].period_s
        numbers = number * ratio + np.arange(ratio)
        cells = decode(self._files[level - 1].column(numbers, place))
        inside = int(self._minute * TIERS[0].period_s // TIERS[level - 1].period_s)
        if numbers[0] <= inside <= numbers[-1]:
            cells[inside - numbers[0]] = self._open_cell(level - 1, inside, place)
        return np.stack(together(cells[..., 0], cells[..., 1]), axis=-1).astype(np.float32)

    def _minute_so_far(self, used: int) -> Floats:
        """(used, quantities, 2) the open cell of the finest tier."""
        count = self._count[:used]
        with np.errstate(invalid="ignore"):
            mean = self._sum[:used] / np.where(count > 0, count, np.nan)
        own = np.stack([mean, np.where(count > 0, self._top[:used], np.nan)], axis=-1)
        if self._before is None:
            return own
        both = np.full((2, *own.shape), np.nan)
        both[0], kept = own, min(used, len(self._before))
        both[1, :kept] = self._before[:kept]
        return np.stack(together(both[..., 0], both[..., 1]), axis=-1)

    def _end(self, now_s: float) -> None:
        """Write the open cell, and each coarser one that is complete and not on disk."""
        ended, used = self._minute, self._places.used
        self._minute = -1
        try:
            if ended >= 0 and self._count[:used].any():
                self._files[0].write(ended, encode(self._minute_so_far(used)))
        finally:
            self._sum[:], self._count[:], self._top[:] = 0.0, 0, -np.inf
            self._before = None
        for level in range(1, len(TIERS)):
            self._make(level, ended * TIERS[0].period_s if ended >= 0 else None, now_s)

    def _make(self, level: int, ended_s: int | None, now_s: float) -> None:
        """Make the cells of a tier that are missing, and that of ``ended_s`` anew, unless ``now_s`` is inside."""
        coarse, fine = TIERS[level], TIERS[level - 1]
        ratio = coarse.period_s // fine.period_s
        numbers = self._files[level - 1].numbers
        there = set(np.unique(numbers[numbers >= 0] // ratio).tolist())
        present = int(now_s // coarse.period_s)
        missing = there - set(self._files[level].numbers.tolist())
        if ended_s is not None:
            missing.add(int(ended_s // coarse.period_s))
        # A cell of the future, or from before the last round, must not replace one that counts.
        for number in sorted(one for one in missing & there if present - coarse.cells < one < present):
            rows = [row for at in range(ratio) if (row := self._files[level - 1].row(number * ratio + at)) is not None]
            places = max(map(len, rows))
            cells = np.full((len(rows), places, len(QUANTITIES), 2), np.nan, np.float32)
            for cell, row in zip(cells, rows, strict=True):
                cell[: len(row)] = decode(row)
            whole = np.stack(together(cells[..., 0], cells[..., 1]), axis=-1)
            self._files[level].write(number, encode(whole))
