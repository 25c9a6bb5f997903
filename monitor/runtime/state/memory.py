"""Keeps the daemon's state: collects it from the workers that own it, saves it, gives it back to channels.

A channel that the state knows comes back when the daemon starts, before anybody can ask for metrics: silent, with the
time of its last samples, its alarm state and its evidence, so a restart resolves no alert. Counters go on only from a
save that was the last word of a run: after a kill they begin at 0, which Prometheus takes for the restart it is, while
a counter that steps back a little would be taken for a jump of its whole value. Does not handle: the file's format.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

import numpy as np

from monitor.core.arrays import Arrays, Int64
from monitor.core.scoring.alarm import State
from monitor.runtime.intake.channel import COUNTERS as SERIES
from monitor.runtime.intake.channel import RARE, Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.orders import Restore
from monitor.runtime.repeated_log import RepeatedLog
from monitor.runtime.state.file import Known, Table, load, save

LOG = logging.getLogger(__name__)

FILE_NAME = "state"
SAVE_PERIOD_S = 30.0
"""Seconds between two saves while no alarm state changes. Shorter: more writing. Longer: a kill loses more."""

ANSWER_S = 5.0
"""Longest wait for a worker, which answers between two batches. Longer: a hung one holds up the stop."""

ASKED_ROWS = 512
"""Rows that a worker is asked for at a time; 0.8 MB, 2 to 3 ms of the event loop and less of the worker. More: messages
and blocks wait for longer. Fewer: more questions."""

COUNTERS = (*SERIES, *RARE, "blocks_incomplete")
"""Fields of a channel that go on after a restart."""

COUNTED = {"counters", "board"}
"""Numbers that count, and go on only after a clean end."""


Place = tuple[Known, Table, int]
"""A channel of the run before, and its numbers: a table, and the place in it."""


class Workers(Protocol):
    """What is needed of :class:`monitor.runtime.lanes.workers.Inference`."""

    lane: Lane

    def restore(self, order: Restore) -> None:
        """Give a row back what a run before knew of it."""

    def collect(self, part: int, rows: Sequence[int], *, last: bool = False) -> "Future[Arrays]":
        """Ask what is known of rows of one part."""


Question = tuple[Workers, int, list[Channel]]
"""A lane's workers, the number of one part, and some of its channels."""


class Memory:
    """The state on disk and in the daemon."""

    def __init__(
        self, folder: Path | None, clock: Callable[[], float], wall_offset_s: Callable[[], float], most: int
    ) -> None:
        """Load what there is; without a folder nothing is kept.

        Args:
            folder: the state directory.
            clock: monotonic seconds.
            wall_offset_s: what to add to them to get UNIX seconds.
            most: channels in the file; those that did not come back for longest go first.
        """
        self._clock = clock
        self._wall_offset_s = wall_offset_s
        self._most = most
        self.write_failures = 0
        self.clean = False
        """Whether the run before came to its end, so that the retained events say what the state says."""
        self._path = folder / FILE_NAME if folder is not None else None
        self._log = RepeatedLog(LOG, clock)
        self._writing = threading.Lock()
        self._waiting: dict[tuple[str, ...], Place] = {}
        """Of the run before, for channels that have not come back yet, by their labels."""
        if self._path is not None:
            _remove_left_overs(self._path)
            kept = load(self._path)
            self.clean = kept.final
            for table in kept.tables:
                for at, line in enumerate(table.channels):
                    known = Known.of_line(line)
                    self._waiting[known.labels] = known, table, at
            # From now on the file is not the last word: a kill must not find it claiming to be.
            if not kept.final or not self._write(self._path, [], list(self._waiting.values()), final=False):
                for table in kept.tables:
                    for name in COUNTED & table.arrays.keys():
                        del table.arrays[name]

    def waiting(self) -> list[Known]:
        """The channels of the run before that have not come back yet."""
        return [known for known, _, _ in self._waiting.values()]

    def put_back(self, channels: Iterable[Channel], label_names: tuple[str, ...]) -> None:
        """Wait for channels that a reload took away, as for those of an earlier run; their numbers are over."""
        for channel in channels:
            if not _was_heard(channel):
                continue
            known = self._known(channel, label_names, key="")
            self._waiting[known.labels] = known, Table([known.line()], {}), 0
        for labels in list(self._waiting)[: -self._most]:
            del self._waiting[labels]

    def restore(self, channel: Channel, inference: Workers, label_names: tuple[str, ...]) -> State | None:
        """Give a channel what the run before knew of it, once a run; its numbers only if they are still its own.

        Args:
            channel: just made and configured.
            inference: its lane's workers, who have its calibration.
            label_names: names of its labels.

        Returns:
            The alarm state that it begins with; None without a calibration.
        """
        calibrated = channel.calibration is not None
        fresh = State.OK if calibrated else None
        place = self._waiting.pop(_identity(label_names, channel), None)
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
        inference.restore(Restore(channel.row, arrays, goes_on))
        return State(int(arrays["alarm"][0])) if calibrated and "alarm" in arrays else fresh

    def monotonic_s(self, known: Known) -> float:
        """Monotonic instant of a channel's last samples; a clock that was set back makes it now, never later."""
        return min(known.last_sample_at_s - self._wall_offset_s(), self._clock())

    async def save(
        self,
        channels: Mapping[tuple[str, ...], Channel],
        lanes: Mapping[str, Workers],
        label_names: Callable[[], tuple[str, ...]],
        *,
        final: bool = False,
        forget_after_s: float = float("inf"),
    ) -> None:
        """Save the state of the channels as it is now; a failure is counted and logged.

        Args:
            channels: whose, by their labels.
            lanes: the workers by model name.
            label_names: names of the channels' labels, which a reload may change meanwhile.
            final: the last word of a run: the workers end, and nothing may arrive any more.
            forget_after_s: channels that have sent nothing for so long, and did not come back, are left out.
        """
        if self._path is None:
            return
        self._forget(self._clock() + self._wall_offset_s() - forget_after_s)
        away = list(self._waiting.values())
        questions = await asyncio.to_thread(_questions, list(channels.values()), dict(lanes), together=final)
        fresh = []
        try:
            for inference, part, asked in questions:
                # After a reload a row may be another channel's.
                current = [channel for channel in asked if channels.get(channel.labels) is channel]
                # A line is made at once: so many objects would keep the garbage collector busy.
                lines = [self._known(channel, label_names(), channel.key).line() for channel in current]
                counters = _counters(current, inference.lane)
                answer = inference.collect(part, [channel.row for channel in current], last=final)
                arrays = await asyncio.wait_for(asyncio.wrap_future(answer), ANSWER_S)
                fresh.append(Table(lines, {**arrays, "counters": counters}))
        except TimeoutError:
            self._failed("an inference process does not answer")
            return
        await asyncio.to_thread(self._write, self._path, fresh, away, final=final)

    def _known(self, channel: Channel, label_names: tuple[str, ...], key: str) -> Known:
        labels, axis = _identity(label_names, channel), channel.labels[-1]
        last_sample_at_s = channel.last_sample_s + self._wall_offset_s()
        return Known(labels, key, channel.topic, axis, last_sample_at_s, channel.event)

    def _forget(self, before_s: float) -> None:
        old = [known.labels for known in self.waiting() if known.last_sample_at_s < before_s]
        for labels in old:
            del self._waiting[labels]

    def _write(self, path: Path, fresh: list[Table], away: Sequence[Place], *, final: bool) -> bool:
        """Write tables, and what has not come back: ``away``, each a table and the place in it."""
        left: dict[int, tuple[Table, list[int]]] = {}
        for _, table, at in away:
            left.setdefault(id(table), (table, []))[1].append(at)
        tables = [*fresh, *(table.take(places) for table, places in left.values())]
        # A save that was cancelled leaves its thread behind, which must not meet the next one's.
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
    """A channel's labels with their names, so that it stays the same when other channels get further labels."""
    return tuple(f"{name}={value}" for name, value in zip(label_names, channel.labels, strict=True) if value)


def _was_heard(channel: Channel) -> bool:
    """Whether it has ever sent: what is only expected is the configuration's to remember."""
    return channel.heard or channel.samples_received > 0


def _counters(channels: list[Channel], lane: Lane) -> Int64:
    """(channels, counters) what counts on the event loop, and the blocks received."""
    own = [[*(getattr(channel, name) for name in COUNTERS), -channel.first_block] for channel in channels]
    counters = np.array(own, np.int64).reshape(len(channels), len(COUNTERS) + 1)
    counters[:, -1] += lane.rings.blocks_received(np.array([channel.row for channel in channels], np.intp))
    return counters


def _questions(channels: list[Channel], lanes: dict[str, Workers], *, together: bool) -> list[Question]:
    """Who is to be asked about which channels; ``together``: one question a part, also about none."""
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


def _remove_left_overs(path: Path) -> None:
    """Delete what a run that was killed left half written; a folder that refuses costs no start."""
    with contextlib.suppress(OSError):
        for left_over in path.parent.glob(f".{path.name}.*.part"):
            left_over.unlink(missing_ok=True)
