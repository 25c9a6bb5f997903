"""The samples of every channel, in one preallocated array of blocks.

One writer appends samples. Each reader takes complete blocks from its own part of the rows. Writer and readers update
separate counters, so they need no lock and may run in different processes. A slot holds a whole block, and a new
context starts at a slot boundary, so a block never spans missing samples. The arrays are never reallocated.
"""

from bisect import bisect_right
from copy import copy
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Self

import numpy as np

from monitor.core.arrays import Bool, Float32, Float64, Int64, Numbers, Rows, Zeros


def index_of(rows: Rows) -> Rows | slice:
    """The rows as an index: a slice, which avoids a copy, if they are consecutive."""
    if rows.size and rows[-1] - rows[0] + 1 == rows.size:
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def part_borders(channels: int, parts: int) -> list[int]:
    """First row of each part, and the end."""
    return [channels * number // parts for number in range(parts + 1)]


@dataclass(frozen=True, slots=True)
class DueBlocks:
    """A batch of at most one block a channel, in the order of ``rows``."""

    rows: Rows
    """(n,) distinct, ascending channel rows."""
    samples: Float32
    """(n, block_samples) samples, as scaled by :meth:`Rings.append`."""
    start_sample: Int64
    """(n,) index of each block's first sample in its channel's stream."""
    first: Bool
    """(n,) True where the block starts a new context."""
    arrived_s: Float64
    """(n,) monotonic instant at which the block's last sample was appended."""


class Rings:
    """Ring buffers of ``channels`` rows with ``capacity_blocks`` each, divided into ``parts`` with one reader each."""

    def __init__(
        self, channels: int, capacity_blocks: int, block_samples: int, parts: int = 1, zeros: Zeros = np.zeros
    ) -> None:
        self.block_samples = block_samples
        self.capacity_blocks = capacity_blocks
        self.borders = part_borders(channels, parts)
        """First row of each part, and the end."""
        self._slots: Float32 = zeros((channels, capacity_blocks, block_samples), np.float32)
        self._flat = self._slots.reshape(channels, capacity_blocks * block_samples)
        self._arrived_s: Float64 = zeros((channels, capacity_blocks), np.float64)
        # Written by the writer when a context starts in a slot, cleared by the reader when it takes that slot.
        self._first: Bool = zeros((channels, capacity_blocks), np.bool_)
        self._first_sample: Int64 = zeros((channels, capacity_blocks), np.int64)
        # Written by the writer. ``_head``: position after the last sample of each row, abandoned partial slots
        # excluded.
        self._head = [0] * channels
        self._next_sample = [0] * channels
        self._context_head = [0] * channels
        self._starting = [True] * channels
        self._complete: Int64 = zeros(channels, np.int64)
        # Written by the reader. ``_taken``: blocks taken or skipped; ``_offset``: stream index minus slot index.
        self._taken: Int64 = zeros(channels, np.int64)
        self._offset: Int64 = zeros(channels, np.int64)
        self._restart: Bool = zeros(channels, np.bool_)

    def part(self, number: int) -> Self:
        """A view of one part for its reader, with rows numbered from 0."""
        first, end = self.borders[number : number + 2]
        part = copy(self)
        part.borders = [0, end - first]
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(part, name, value[first:end])
        return part

    def rows(self) -> list[int]:
        """All rows, ordered so that rows given out in turn fill the parts evenly."""
        parts = [range(first, end) for first, end in pairwise(self.borders)]
        return [row for rows in zip_longest(*parts) for row in rows if row is not None]

    def part_of(self, row: int) -> int:
        """Number of the part that ``row`` belongs to."""
        return bisect_right(self.borders, row) - 1

    def start_context(self, row: int, next_sample: int) -> int:
        """Start a new context of ``row``: its next appended sample gets the stream index ``next_sample``.

        Returns:
            Samples of an incomplete block that are dropped.
        """
        head = self._head[row]
        lost = head % self.block_samples
        self._head[row] = self._context_head[row] = head - lost
        self._next_sample[row] = next_sample
        self._starting[row] = True
        return lost

    def next_sample(self, row: int) -> int:
        """The stream index that the next appended sample of ``row`` gets."""
        return self._next_sample[row]

    def append(self, row: int, samples: Numbers, factor: float, arrived_s: float) -> int:
        """Multiply contiguous samples by ``factor`` and append them to a channel as float32.

        Args:
            row: the channel.
            samples: (n,) of any real type.
            factor: converts the samples to m/s² (unit and scale).
            arrived_s: monotonic instant of arrival.

        Returns:
            Samples dropped because the reader is a whole ring behind; after a drop a new context starts.
        """
        count: int = samples.shape[0]
        size = self.block_samples
        head = self._head[row]
        slots = self.capacity_blocks
        room = (int(self._taken[row]) + slots) * size - head
        if count > room:
            # What fits is kept; after the dropped samples a new context starts.
            kept = max(room, 0)
            if kept:
                self.append(row, samples[:kept], factor, arrived_s)
            self.start_context(row, self._next_sample[row] + count - kept)
            return count - kept
        if self._starting[row] and count:
            slot = head // size % slots
            self._first_sample[row, slot] = self._next_sample[row]
            self._first[row, slot] = True
            self._starting[row] = False
        length = slots * size
        at = head % length
        line = self._flat[row]
        end = at + count
        if end <= length:
            np.multiply(samples, factor, out=line[at:end], casting="unsafe")
        else:
            split = length - at
            np.multiply(samples[:split], factor, out=line[at:], casting="unsafe")
            np.multiply(samples[split:], factor, out=line[: end - length], casting="unsafe")
        self._head[row] = head = head + count
        self._next_sample[row] += count
        before, complete = (head - count) // size, head // size
        if complete > before:
            first, last = before % slots, complete % slots
            if first < last:
                self._arrived_s[row, first:last] = arrived_s
            else:
                self._arrived_s[row, first:] = arrived_s
                self._arrived_s[row, :last] = arrived_s
            # Must come last: from here on the reader may take the blocks.
            self._complete[row] = complete
        return 0

    def has_room(self, row: int, coming: int) -> bool:
        """Whether the ring of ``row`` is less than half full with ``coming`` samples, so no backlog is given up."""
        waiting = self._head[row] - int(self._taken[row]) * self.block_samples
        return 2 * (waiting + coming) < self.capacity_blocks * self.block_samples

    def backlog(self) -> Int64:
        """(channels,) complete blocks not yet taken."""
        return self._complete - self._taken

    def blocks_received(self, rows: Rows | None = None) -> Int64:
        """Complete blocks appended since the start, of ``rows`` or of all channels."""
        return self._complete.copy() if rows is None else self._complete[rows]

    def blocks_taken(self, rows: Rows) -> Int64:
        """Blocks of ``rows`` taken or skipped since the start."""
        return self._taken[rows]

    def oldest_arrival_s(self) -> float | None:
        """Monotonic arrival time of the oldest block not yet taken; None if there is none."""
        rows = np.flatnonzero(self._complete > self._taken)
        if not rows.size:
            return None
        return float(self._arrived_s[rows, self._taken[rows] % self.capacity_blocks].min())

    def take(self, limit: int | None = None, received: Int64 | None = None) -> DueBlocks | None:
        """Take the oldest complete block of every channel that has one; None if no channel has.

        With ``limit``, at most so many channels, longest backlog first, so that none starves. With ``received``, an
        earlier result of :meth:`blocks_received`, blocks that arrived after it are left for the next call.
        """
        received = self._complete if received is None else received
        rows = np.flatnonzero(received > self._taken)
        if not rows.size:
            return None
        if limit is not None and rows.size > limit:
            backlog = (received - self._taken)[rows]
            rows = np.sort(rows[np.argpartition(-backlog, limit)[:limit]])
        taken = self._taken[rows]
        slot = taken % self.capacity_blocks
        samples = self._slots[rows, slot]
        arrived_s = self._arrived_s[rows, slot]
        first = self._enter_contexts(rows, taken, slot)
        start_sample = self._offset[rows] + taken * self.block_samples
        # Must come last: from here on the writer may overwrite the slots.
        self._taken[rows] = taken + 1
        return DueBlocks(rows, samples, start_sample, first, arrived_s)

    def _enter_contexts(self, rows: Rows, taken: Int64, slot: Int64) -> Bool:
        """Return which of the taken blocks start a context, (n,), and update the stream index of those rows."""
        first = self._first[rows, slot]
        if first.any():
            new, new_slot = rows[first], slot[first]
            self._offset[new] = self._first_sample[new, new_slot] - taken[first] * self.block_samples
            self._first[new, new_slot] = False
        restart = self._restart[rows]
        if restart.any():
            self._restart[rows] = False
            first |= restart
        return first

    def skip_backlog(self, limit_blocks: int) -> tuple[Rows, Int64]:
        """Skip the whole backlog of every channel with more than ``limit_blocks``; a new context starts after it.

        Returns:
            The rows, (n,), and the number of blocks skipped of each, (n,).
        """
        backlog = self._complete - self._taken
        rows = np.flatnonzero(backlog > limit_blocks)
        lost = backlog[rows]
        for row, count in zip(rows.tolist(), lost.tolist(), strict=True):
            self._skip(row, count)
        return rows, lost

    def skip_until(self, row: int, received: int) -> None:
        """Skip the backlog of ``row`` up to its ``received``-th block; a new context starts after it."""
        self._skip(row, max(0, received - int(self._taken[row])))

    def _skip(self, row: int, count: int) -> None:
        # The last context that starts among the skipped blocks sets the stream index.
        slots = (self._taken[row] + np.arange(count)) % self.capacity_blocks
        began = np.flatnonzero(self._first[row, slots])
        if began.size:
            at = began[-1]
            self._offset[row] = self._first_sample[row, slots[at]] - (self._taken[row] + at) * self.block_samples
            self._first[row, slots] = False
        self._restart[row] = True
        self._taken[row] += count

    def recent(self, row: int, samples: int) -> tuple[int, Float32]:
        """The last samples of the current context of ``row`` that are still in the ring. Called by the writer only.

        Returns:
            The stream index of the first sample, and a copy of at most ``samples`` samples, oldest first.
        """
        length = self.capacity_blocks * self.block_samples
        head = self._head[row]
        count = min(samples, head - self._context_head[row], length)
        return self._next_sample[row] - count, self._flat[row, np.arange(head - count, head) % length]

    def recent_blocks(self, row: int, blocks: int) -> tuple[int, Float32]:
        """The last complete blocks, as :meth:`recent`: the stream index of the first sample, and (n, block_samples)."""
        size = self.block_samples
        rest = self._head[row] % size
        start, samples = self.recent(row, blocks * size + rest)
        whole = (samples.size - rest) // size * size
        first = samples.size - rest - whole
        return start + first, samples[first : first + whole].reshape(-1, size)
