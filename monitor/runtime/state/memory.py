"""Saves and restores the daemon's state: collects it from the workers, writes it, gives it back to channels.

The start restores every saved channel before the HTTP server listens: silent, with the time of its last samples, its
alarm state and its evidence. So a restart resolves no alert. Counters continue only after a clean stop. After a kill
the saved values are older than the ones last scraped, and Prometheus would count a small step back as an increase by
the whole value. So counters then start at 0, a reset that it handles. Does not handle: the file's format.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

import numpy as np

from monitor.core.arrays import Arrays, Int64
from monitor.core.forecasting.resume import AT
from monitor.core.scoring.alarm import State
from monitor.runtime.intake.channel import COUNTERS as SERIES
from monitor.runtime.intake.channel import RARE, Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.orders import Restore
from monitor.runtime.log.logs import RepeatedLog
from monitor.runtime.state.file import Known, Table, load, save
from monitor.runtime.wall_clock import WallClock

LOG = logging.getLogger(__name__)

FILE_NAME = "state"
SAVE_PERIOD_S = 30.0
"""Seconds between two saves while no alarm state changes. Shorter: more disk writes. Longer: a kill loses more."""

ANSWER_S = 5.0
"""Longest wait for a worker, which answers between two batches. Shorter: a long batch loses a save. Longer: a hung
worker delays the stop."""

ASKED_ROWS = 512
"""Rows in one question to a worker: 0.8 MB, 2 to 3 ms of the event loop and less of the worker. More: messages and
blocks wait longer. Fewer: more questions."""

COUNTERS = (*SERIES, *RARE, "blocks_incomplete")
"""Counters of a channel that continue after a clean stop."""

COUNTED = {"counters", "board"}
"""Saved arrays that hold counters; they are used only after a clean stop."""


Place = tuple[Known, Table, int]
"""A channel of an earlier run: its identity, the table with its arrays, and its position in the table."""


class Workers(Protocol):
    """The part of :class:`monitor.runtime.lanes.workers.Inference` that is used here."""

    lane: Lane

    def restore(self, order: Restore) -> None:
        """Restore what an earlier run saved of a row."""

    def collect(self, part: int, rows: Sequence[int], *, last: bool = False, points: bool = False) -> "Future[Arrays]":
        """Ask for the state of rows of one part."""


Question = tuple[Workers, int, list[Channel]]
"""A lane's workers, the number of one part, and some of its channels."""


class Memory:
    """The state on disk and in the daemon."""

    def __init__(self, folder: Path | None, clock: WallClock, most: int) -> None:
        """Load the saved state; without a folder nothing is saved.

        Args:
            folder: the state directory.
            clock: maps monotonic to UNIX seconds.
            most: limit for the channels in the file; channels that have been away longest are dropped first.
        """
        self._clock = clock
        self._most = most
        self.write_failures = 0
        self.clean = False
        """Whether the previous run stopped cleanly, so that the broker's retained events agree with the state."""
        self._path = folder / FILE_NAME if folder is not None else None
        self._log = RepeatedLog(LOG, clock.monotonic_s)
        self._writing = threading.Lock()
        self.elsewhere: Callable[[Channel], Place | None] = lambda _: None
        """Returns the state of a channel that another daemon had, and that came with a message."""
        self._waiting: dict[tuple[str, ...], Place] = {}
        """Channels that are saved but do not exist in the daemon, by their labels."""
        if self._path is not None:
            kept = load(self._path)
            self.clean = kept.final
            for table in kept.tables:
                for at, line in enumerate(table.channels):
                    known = Known.of_line(line)
                    self._waiting[known.labels] = known, table, at
            # The file must not claim a clean stop while this run counts: it may be killed.
            if not kept.final or not self._write(self._path, [], list(self._waiting.values()), final=False):
                for table in kept.tables:
                    for name in COUNTED & table.arrays.keys():
                        del table.arrays[name]

    def waiting(self) -> list[Known]:
        """The saved channels that do not exist in the daemon."""
        return [known for known, _, _ in self._waiting.values()]

    def put_back(self, channels: Iterable[Channel], label_names: tuple[str, ...], most: int) -> None:
        """Keep channels that a reload removed like channels of an earlier run, but without their arrays.

        Args:
            channels: the channels.
            label_names: names of their labels, as they were.
            most: limit for the channels in the file from now on.
        """
        self._most = most
        for channel in channels:
            if not _was_heard(channel):
                continue
            known = self.known(channel, label_names, key="")
            self._waiting[known.labels] = known, Table([known.line()], {}), 0
        for labels in list(self._waiting)[: -self._most]:
            del self._waiting[labels]

    def restore(self, channel: Channel, inference: Workers, label_names: tuple[str, ...]) -> State | None:
        """Restore the saved state of a new channel; its arrays only if their key is the channel's key.

        Args:
            channel: a channel that was just created and configured.
            inference: the workers of its lane, which have its calibration.
            label_names: names of its labels.

        Returns:
            The alarm state that it starts with; None without a calibration.
        """
        calibrated = channel.calibration is not None
        fresh = State.OK if calibrated else None
        place = self._waiting.pop(_identity(label_names, channel), None) or self.elsewhere(channel)
        if place is None:
            return fresh
        known, table, at = place
        channel.event = known.event
        channel.last_sample_s = self.monotonic_s(known)
        if known.key != channel.key:
            return fresh
        arrays = {name: array[at] for name, array in table.arrays.items()}
        counts = arrays.get("counters")
        goes_on = counts is not None and counts.shape == (len(COUNTERS) + 1,)
        if counts is not None and goes_on:
            for name, value in zip(COUNTERS, counts.tolist(), strict=False):
                setattr(channel, name, int(value))
            channel.first_block -= int(counts[-1])
        resume_at = int(arrays[AT]) if AT in arrays else None
        inference.restore(Restore(channel.row, arrays, goes_on, resume_at))
        return State(int(arrays["alarm"][0])) if calibrated and "alarm" in arrays else fresh

    def move_in(self, known: Known, table: Table, ingest: Ingest) -> Channel | None:
        """Create a channel that another daemon had, with its state; None if the configuration has no place for it.

        Args:
            known: the channel.
            table: its state, of one channel.
            ingest: makes the channel.
        """
        self._waiting[known.labels] = known, table, 0
        channel = ingest.adopt(known.topic, known.axis)
        if channel is None:
            self._waiting.pop(known.labels, None)
        return channel

    def now_at_s(self) -> float:
        """UNIX seconds now."""
        return self._clock.now_s()

    def monotonic_s(self, known: Known) -> float:
        """Monotonic instant of a channel's last samples; at most now, even if the wall clock was set back."""
        return min(known.last_sample_at_s - self._clock.offset_s, self._clock.monotonic_s())

    async def save(
        self,
        channels: Mapping[tuple[str, ...], Channel],
        lanes: Mapping[str, Workers],
        label_names: Callable[[], tuple[str, ...]],
        *,
        final: bool = False,
        forget_after_s: float = float("inf"),
    ) -> None:
        """Save the present state of the channels; a failure is counted and logged.

        Args:
            channels: the channels by their labels.
            lanes: the workers by model name.
            label_names: returns the names of the channels' labels, which a reload may change meanwhile.
            final: whether this is the save of a clean stop: the workers end, and no samples may arrive any more.
            forget_after_s: saved channels that have been away for longer than this are dropped.
        """
        if self._path is None:
            return
        self._forget(self.now_at_s() - forget_after_s)
        away = list(self._waiting.values())
        asked_all = await asyncio.to_thread(questions, list(channels.values()), dict(lanes), together=final)
        fresh = []
        try:
            for inference, part, asked in asked_all:
                # After a reload a row may belong to another channel.
                current = [channel for channel in asked if channels.get(channel.labels) is channel]
                # Lines, not objects: so many objects would keep the garbage collector busy.
                lines = [self.known(channel, label_names(), channel.key).line() for channel in current]
                counters = _counters(current, inference.lane)
                answer = inference.collect(part, [channel.row for channel in current], last=final)
                async with asyncio.timeout(ANSWER_S):  # wait_for swallows a cancellation at the same moment
                    arrays = await asyncio.wrap_future(answer)
                fresh.append(Table(lines, {**arrays, "counters": counters}))
        except TimeoutError:
            self._failed(f"an inference process did not answer within {ANSWER_S:g} s")
            return
        await asyncio.to_thread(self._write, self._path, fresh, away, final=final)

    def known(self, channel: Channel, label_names: tuple[str, ...], key: str) -> Known:
        """What identifies a channel in the saved state."""
        labels, axis = _identity(label_names, channel), channel.labels[-1]
        last_sample_at_s = self._clock.unix_s(channel.last_sample_s)
        return Known(labels, key, channel.topic, axis, last_sample_at_s, channel.event)

    def _forget(self, before_s: float) -> None:
        old = [known.labels for known in self.waiting() if known.last_sample_at_s < before_s]
        for labels in old:
            del self._waiting[labels]

    def _write(self, path: Path, fresh: list[Table], away: Sequence[Place], *, final: bool) -> bool:
        """Write the ``fresh`` tables, and the channels that are ``away``; returns whether it succeeded."""
        left: dict[int, tuple[Table, list[int]]] = {}
        for _, table, at in away:
            left.setdefault(id(table), (table, []))[1].append(at)
        tables = [*fresh, *(table.take(places) for table, places in left.values())]
        # The thread of a cancelled save goes on; it must not meet the thread of the next save.
        with self._writing:
            try:
                save(path, list(self._within_limit(tables)), final=final)
            except OSError as error:
                self._failed(error.strerror or str(error))
                return False
        return True

    def _within_limit(self, tables: list[Table]) -> Iterator[Table]:
        room = self._most
        for table in tables:
            yield table if len(table.channels) <= room else table.take(range(room))
            room = max(0, room - len(table.channels))

    def _failed(self, reason: str) -> None:
        self.write_failures += 1
        self._log.warning("save", f"state not saved: file={self._path} reason={reason}")


def _identity(label_names: tuple[str, ...], channel: Channel) -> tuple[str, ...]:
    """A channel's non-empty labels with their names: they stay the same when other sensors get further labels."""
    return tuple(f"{name}={value}" for name, value in zip(label_names, channel.labels, strict=True) if value)


def _was_heard(channel: Channel) -> bool:
    """Whether it has ever sent; the configuration creates expected channels again, so they need not be saved."""
    return channel.heard or channel.samples_received > 0


def _counters(channels: list[Channel], lane: Lane) -> Int64:
    """(channels, counters) the counters of the event loop, and the blocks received."""
    own = [[*(getattr(channel, name) for name in COUNTERS), -channel.first_block] for channel in channels]
    counters = np.array(own, np.int64).reshape(len(channels), len(COUNTERS) + 1)
    counters[:, -1] += lane.rings.blocks_received(np.array([channel.row for channel in channels], np.intp))
    return counters


def questions(channels: list[Channel], lanes: Mapping[str, Workers], *, together: bool) -> list[Question]:
    """The questions to the workers about all channels; ``together``: one for each part, even if it has no channel."""
    found: list[Question] = []
    for name, inference in lanes.items():
        rings = inference.lane.rings
        parts: list[list[Channel]] = [[] for _ in rings.borders[1:]]
        for channel in channels:
            if channel.model == name and channel.key and _was_heard(channel):
                parts[rings.part_of(channel.row)].append(channel)
        for part, of_part in enumerate(parts):
            size = max(1, len(of_part)) if together else ASKED_ROWS
            chunks = [of_part[at : at + size] for at in range(0, len(of_part), size)]
            found += [(inference, part, chunk) for chunk in chunks or together * [[]]]
    return found
