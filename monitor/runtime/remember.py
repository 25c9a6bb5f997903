"""Keeps the daemon's state: collects it from the workers that own it, saves it now and then, gives it back to channels.

Alarms and evidence go on from the last save. Counters go on only from a save that was the last word of a run: after a
kill they begin at 0, which whoever reads them takes for the restart it is, while a counter that steps back a little
would be taken for a jump of its whole value. Refuses to know: the file's format.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from monitor.runtime import state
from monitor.runtime.channel import Channel
from monitor.runtime.lane import Lane
from monitor.runtime.orders import Arrays, Restore
from monitor.runtime.repeated_log import RepeatedLog

LOG = logging.getLogger(__name__)

FILE_NAME = "state"
SAVE_PERIOD_S = 30.0
"""Seconds between two saves. Shorter: more writing. Longer: a kill loses more."""

ANSWER_S = 5.0
"""Longest wait for a worker, which answers between two batches. Longer: a hung one holds up the stop."""

COUNTERS = ("samples_received", "samples_missing", "samples_repeated", "samples_late", "blocks_incomplete")
"""Fields of a channel that go on after a restart."""


class Workers(Protocol):
    """What is needed of :class:`monitor.runtime.inference.Inference`."""

    lane: Lane

    def restore(self, order: Restore) -> None:
        """Give a row back what a run before knew of it."""

    def collect(self, rows: Sequence[int], *, last: bool = False) -> list[Future[list[Arrays]]]:
        """Ask what is known of rows; one answer a part."""


class Memory:
    """The state on disk and in the daemon."""

    def __init__(self, folder: Path | None, clock: Callable[[], float], most: int) -> None:
        """Load what there is; without a folder nothing is kept.

        Args:
            folder: the state directory.
            clock: monotonic seconds.
            most: channels in the file; those that did not come back for longest go first.
        """
        self._most = most
        self.write_failures = 0
        self._path = folder / FILE_NAME if folder is not None else None
        self._log = RepeatedLog(LOG, clock)
        self._waiting: state.State = {}
        """Of the run before, for channels that have not come back yet."""
        if self._path is not None:
            kept = state.load(self._path)
            self._waiting = kept.channels
            # From now on the file is not the last word: a kill must not find it claiming to be.
            if not kept.final or not self._write(self._path, {}, final=False):
                self._waiting = {labels: _without_counters(channel) for labels, channel in kept.channels.items()}

    def restore(self, channel: Channel, inference: Workers, label_names: tuple[str, ...]) -> None:
        """Give a channel what the run before knew of it, if it is still the same; once a run.

        Args:
            channel: just made and configured.
            inference: its lane's workers, who have its calibration.
            label_names: names of its labels.
        """
        known = self._waiting.pop(_identity(label_names, channel), None)
        if known is None or known.key != channel.key:
            return
        arrays = known.arrays
        counts = arrays.get("counters")
        goes_on = counts is not None and counts.shape == (len(COUNTERS) + 1,)
        if counts is not None and goes_on:
            for name, value in zip(COUNTERS, counts.tolist(), strict=False):
                setattr(channel, name, int(value))
            channel.first_block -= int(counts[-1])

        inference.restore(Restore(channel.row, arrays, goes_on))

    async def save(
        self,
        channels: list[Channel],
        lanes: Mapping[str, Workers],
        label_names: tuple[str, ...],
        *,
        final: bool = False,
    ) -> None:
        """Save the state of the channels as it is now; a failure is counted and logged.

        Args:
            channels: whose.
            lanes: the workers by model name.
            label_names: names of the channels' labels.
            final: the last word of a run: the workers end, and nothing may arrive any more.
        """
        if self._path is None:
            return
        answers = [
            (part, answer)
            for name, inference in lanes.items()
            for part, answer in _ask(inference, [c for c in channels if c.model == name and c.key], last=final)
        ]
        fresh: state.State = {}
        try:
            for part, answer in answers:
                arrays = await asyncio.wait_for(asyncio.wrap_future(answer), ANSWER_S)
                for channel, known in zip(part, arrays, strict=True):
                    rings = lanes[channel.model].lane.rings
                    blocks = int(rings.blocks_received()[channel.row]) - channel.first_block
                    counters = np.array([*(getattr(channel, name) for name in COUNTERS), blocks], np.int64)
                    known["counters"] = counters
                    fresh[_identity(label_names, channel)] = state.ChannelState(channel.key, known)
        except TimeoutError:
            self._failed("an inference process does not answer")
            return
        await asyncio.to_thread(self._write, self._path, fresh, final=final)

    def _write(self, path: Path, fresh: state.State, *, final: bool) -> bool:
        try:
            channels = dict(islice({**fresh, **self._waiting}.items(), self._most))
            state.save(path, channels, final=final)
        except OSError as error:
            self._failed(error.strerror or str(error))
            return False
        return True

    def _failed(self, reason: str) -> None:
        self.write_failures += 1
        self._log.warning("save", f"state not saved: file={self._path} reason={reason}")


def _identity(label_names: tuple[str, ...], channel: Channel) -> tuple[str, ...]:
    """A channel's labels with their names, so that it stays the same when other channels get further labels."""
    return tuple(f"{name}={value}" for name, value in zip(label_names, channel.labels, strict=True) if value)


def _without_counters(channel: state.ChannelState) -> state.ChannelState:
    kept = {name: array for name, array in channel.arrays.items() if name not in {"counters", "board"}}
    return replace(channel, arrays=kept)


def _ask(
    inference: Workers, channels: list[Channel], *, last: bool
) -> list[tuple[list[Channel], Future[list[Arrays]]]]:
    """Ask the workers of a lane about its channels: each worker's channels, and its answer about them."""
    rings = inference.lane.rings
    answers = inference.collect([channel.row for channel in channels], last=last)
    return [
        ([channel for channel in channels if rings.part_of(channel.row) == part], answer)
        for part, answer in enumerate(answers)
    ]
