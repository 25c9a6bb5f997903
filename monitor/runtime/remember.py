"""Keeps the daemon's state: collects it on the thread that owns it, saves it now and then, gives it back to channels.

Refuses to know: the file's format.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
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

COUNTERS = ("samples_received", "samples_missing", "samples_repeated", "samples_late", "blocks_incomplete")
"""Fields of a channel that go on after a restart."""

Collected = tuple[Mapping[tuple[str, ...], Channel], Mapping[str, Lane]]


class Memory:
    """The state on disk and in the daemon."""

    def __init__(self, folder: Path | None, inference: Inference, clock: Callable[[], float]) -> None:
        """Load what there is; without a folder nothing is kept.

        Args:
            folder: the state directory.
            inference: the thread that owns the pipelines.
            clock: monotonic seconds.
        """
        self.write_failures = 0
        self._path = folder / FILE_NAME if folder is not None else None
        self._inference = inference
        self._log = RepeatedLog(LOG, clock)
        self._known: state.State = state.load(self._path) if self._path is not None else {}

    def restore(self, channel: Channel, lane: Lane, key: str) -> None:
        """Give a new channel what is known of it, if it is still the same: counters now, the rest by an order.

        Args:
            channel: just made.
            lane: its lane, whose calibration has been submitted before.
            key: topic and calibration.
        """
        known = self._known.get(channel.labels)
        if known is None or known.key != key:
            return
        arrays = known.arrays
        for name, value in zip(COUNTERS, arrays["counters"].tolist(), strict=False):
            setattr(channel, name, int(value))
        row = np.array([channel.row], np.intp)

        def order() -> None:
            scoring = lane.pipeline.scoring
            evidence = {name[len("scorer.") :]: a[None] for name, a in arrays.items() if name.startswith("scorer.")}
            if scoring.scorer.restore(row, evidence):
                scoring.alarm.restore(row, arrays["alarm"][None])
            with lane.board.lock:
                lane.board.blocks_scored[row] = int(arrays["blocks"][0])
                lane.board.alarm_state[row] = np.where(
                    scoring.calibrated_rows[row], scoring.alarm.state(row), lane.board.alarm_state[row]
                )

        self._inference.submit(order)

    async def save(
        self, channels: list[Channel], lanes: Mapping[str, Lane], keys: Mapping[tuple[str, ...], str]
    ) -> None:
        """Save the state of the channels; a failure is counted and logged."""
        if self._path is None:
            return
        collected: Future[state.State] = Future()
        self._inference.submit(lambda: collected.set_result(_collect(channels, lanes, keys)))
        try:
            fresh = await asyncio.wait_for(asyncio.wrap_future(collected), 5.0)
            # A channel that has not come back yet keeps what was known of it.
            self._known = {**self._known, **fresh}
            await asyncio.to_thread(state.save, self._path, self._known)
        except (OSError, TimeoutError) as error:
            self.write_failures += 1
            reason = getattr(error, "strerror", None) or "the inference thread does not answer"
            self._log.warning("save", f"state not saved: file={self._path} reason={reason}")


def _collect(channels: list[Channel], lanes: Mapping[str, Lane], keys: Mapping[tuple[str, ...], str]) -> state.State:
    collected: state.State = {}
    for channel in channels:
        lane = lanes.get(channel.model)
        if lane is None or channel.labels not in keys:
            continue
        row = np.array([channel.row], np.intp)
        scoring = lane.pipeline.scoring
        arrays = {f"scorer.{name}": values[0] for name, values in scoring.scorer.export(row).items()}
        arrays["alarm"] = scoring.alarm.export(row)[0]
        arrays["counters"] = np.array([getattr(channel, name) for name in COUNTERS], np.int64)
        arrays["blocks"] = np.array([lane.board.blocks_scored[channel.row]], np.int64)
        collected[channel.labels] = state.ChannelState(keys[channel.labels], arrays)
    return collected
