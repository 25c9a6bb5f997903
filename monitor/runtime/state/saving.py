"""When the state is saved: every :data:`SAVE_PERIOD_S`, and at once when an alarm state changes."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from monitor.config.configuration import Config
from monitor.runtime.baselines.store import Store
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.lanes.workers import Inference
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.state import absent
from monitor.runtime.state.memory import SAVE_PERIOD_S, Memory
from monitor.runtime.state.moving import Learning, Moving, Scores

SAVE_REST = 4.0
"""Pause after a save that an alarm caused, in multiples of its duration, so saving takes at most a fifth of the time.
Lower: flickering alarm states keep the daemon busy with saving. Higher: the next change is saved later."""


class Saving:
    """Saves the state of a daemon."""

    def __init__(
        self,
        memory: Memory,
        ingest: Ingest,
        config: Callable[[], Config],
        lanes: Callable[[], dict[str, Inference]],
        forget: Callable[[Channel], None],
        errors: InternalErrors,
    ) -> None:
        """Save nothing yet.

        Args:
            memory: the state.
            ingest: has the channels.
            config: returns the running configuration.
            lanes: returns the workers of each model.
            forget: removes a channel that is gone for good.
            errors: counts unexpected errors.
        """
        self._memory, self._ingest, self._config, self._lanes = memory, ingest, config, lanes
        self._forget, self._errors = forget, errors
        self.wanted = asyncio.Event()
        """Set when an alarm state changed since the last save."""

    def moving(self, scores: Scores, store: Store, learning: Learning) -> Moving:
        """The same state, with what belongs to it, for channels that move to another worker.

        Args:
            scores: writes what was scored of them.
            store: has the baselines.
            learning: has what channels learn from.
        """
        return Moving(self._memory, self._ingest, self._lanes, self._config, scores, store, learning)

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAVE_PERIOD_S):  # wait_for swallows a cancellation at the same moment
                    await self.wanted.wait()
            rest = SAVE_REST * self.wanted.is_set()
            self.wanted.clear()
            began_s = time.monotonic()
            for gone in absent.forget(self._ingest, self._config(), began_s):
                self._forget(gone)
            await self.save()
            await asyncio.sleep(rest * (time.monotonic() - began_s))

    async def save(self, *, final: bool = False) -> None:
        """Save now; ``final``: nothing is counted afterwards."""
        with self._errors.contained(Where.STATE, "state"):
            await self._memory.save(
                self._ingest.channels,
                self._lanes(),
                lambda: self._config().label_names,
                final=final,
                forget_after_s=self._config().scoring.forget_after,
            )
