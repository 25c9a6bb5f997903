"""Keeps the daemon's state: collects it on the thread that owns it, saves it now and then, gives it back to channels.

Alarms and evidence go on from the last save. Counters go on only from a save that was the last word of a run: after a
kill they begin at 0, which whoever reads them takes for the restart it is, while a counter that steps back a little
would be taken for a jump of its whole value. Refuses to know: the file's format.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from monitor.runtime import state
from monitor.runtime.inference import Inference, Lane
from monitor.runtime.ingest import Channel
from monitor.runtime.repeated_log import RepeatedLog

LOG = logging.getLogger(__name__)

FILE_NAME = "state"
SAVE_PERIOD_S = 30.0
"""Seconds between two saves. Shorter: more writing. Longer: a kill loses more."""

ANSWER_S = 5.0
"""Longest wait for the inference thread, which answers between two batches. Longer: a hung one holds up the stop."""

COUNTERS = ("samples_received", "samples_missing", "samples_repeated", "samples_late", "blocks_incomplete")
"""Fields of a channel that go on after a restart."""


class Memory:
    """The state on disk and in the daemon."""

    def __init__(self, folder: Path | None, inference: Inference, clock: Callable[[], float], most: int) -> None:
        """Load what there is; without a folder nothing is kept.

        Args:
            folder: the state directory.
            inference: the thread that owns the pipelines.
            clock: monotonic seconds.
            most: channels in the file; those that did not come back for longest go first.
        """
        self._most = most
        self.write_failures = 0
        self._path = folder / FILE_NAME if folder is not None else None
        self._inference = inference
        self._log = RepeatedLog(LOG, clock)
        self._waiting: state.State = {}
        """Of the run before, for channels that have not come back yet."""
        if self._path is not None:
            kept = state.load(self._path)
            self._waiting = kept.channels
            # From now on the file is not the last word: a kill must not find it claiming to be.
            if not kept.final or not self._write(self._path, {}, final=False):
                self._waiting = {labels: _without_counters(channel) for labels, channel in kept.channels.items()}

    def restore(self, channel: Channel, lane: Lane, label_names: tuple[str, ...]) -> None:
        """Give a channel what the run before knew of it, if it is still the same; once a run.

        Args:
            channel: just made and configured.
            lane: its lane, to which its calibration has been submitted before.
            label_names: names of its labels.
        """
        known = self._waiting.pop(_identity(label_names, channel), None)
        if known is None or known.key != channel.key:
            return
        arrays = known.arrays
        counts, board_counts = arrays.get("counters"), arrays.get("board")
        goes_on = counts is not None and counts.shape == (len(COUNTERS) + 1,)
        if counts is not None and goes_on:
            for name, value in zip(COUNTERS, counts.tolist(), strict=False):
                setattr(channel, name, int(value))
            channel.first_block -= int(counts[-1])

        def order() -> None:
            row, scoring, board = np.array([channel.row], np.intp), lane.pipeline.scoring, lane.board
            if goes_on and board_counts is not None and board_counts.shape == board.counts(channel.row).shape:
                board.restore(channel.row, board_counts)
            evidence = {name[len("scorer.") :]: a[None] for name, a in arrays.items() if name.startswith("scorer.")}
            alarm = arrays.get("alarm", np.zeros(0, np.int64))[None]
            if not scoring.calibrated_rows[channel.row] or alarm.shape != scoring.alarm.export(row).shape:
                return
            if scoring.scorer.restore(row, evidence):
                scoring.alarm.restore(row, alarm)
                with board.lock:
                    board.alarm_state[row] = scoring.alarm.state(row)

        self._inference.submit(order)

    async def save(self, channels: list[Channel], lanes: Mapping[str, Lane], label_names: tuple[str, ...]) -> None:
        """Save the state of the channels as it is now; a failure is counted and logged."""
        if self._path is None:
            return
        collected: Future[state.State] = Future()

        def order() -> None:
            if collected.set_running_or_notify_cancel():  # nobody may be waiting any more
                collected.set_result(_collect(channels, lanes, label_names))

        self._inference.submit(order)
        try:
            fresh = await asyncio.wait_for(asyncio.wrap_future(collected), ANSWER_S)
        except TimeoutError:
            self._failed("the inference thread does not answer")
            return
        await asyncio.to_thread(self._write, self._path, fresh, final=False)

    async def save_final(
        self, channels: list[Channel], lanes: Mapping[str, Lane], label_names: tuple[str, ...]
    ) -> None:
        """End the inference thread and save what then no longer changes; nothing may arrive any more."""
        if self._path is None:
            return
        if not await asyncio.to_thread(self._inference.stop):
            self._failed("the inference thread does not answer")
            return
        await asyncio.to_thread(self._write, self._path, _collect(channels, lanes, label_names), final=True)

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


def _collect(channels: list[Channel], lanes: Mapping[str, Lane], label_names: tuple[str, ...]) -> state.State:
    """The state of the channels, on the thread that owns the pipelines or after its end."""
    collected: state.State = {}
    for channel in channels:
        lane = lanes.get(channel.model)
        if lane is None or not channel.key:
            continue
        row, scoring = np.array([channel.row], np.intp), lane.pipeline.scoring
        arrays = {f"scorer.{name}": values[0] for name, values in scoring.scorer.export(row).items()}
        arrays["alarm"] = scoring.alarm.export(row)[0]
        blocks = int(lane.rings.blocks_received(row)[0]) - channel.first_block
        arrays["counters"] = np.array([*(getattr(channel, name) for name in COUNTERS), blocks], np.int64)
        arrays["board"] = lane.board.counts(channel.row)
        collected[_identity(label_names, channel)] = state.ChannelState(channel.key, arrays)
    return collected
