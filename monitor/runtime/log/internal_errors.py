"""The last net: an unexpected error costs one item, is counted, and is logged with its traceback.

Input is checked where it enters, so later code should not raise. If it does, the daemon goes on with the next item.
The counts are the metric ``vibration_internal_errors_total{where}``. The rules alert on it, because each one is a
defect of the daemon. Background tasks run under :func:`supervised`, which restarts them.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from typing import Any, Never

from monitor.runtime.log.logs import RepeatedLog

LOG = logging.getLogger(__name__)

RESTART_FIRST_S = 1.0
"""Wait before a failed background task is restarted; it doubles with each failure. Shorter: a task that always fails
fills the log. Longer: a passing fault stops its work for longer."""

RESTART_LONGEST_S = 60.0
"""Longest wait before a background task is restarted."""


class Where(StrEnum):
    """What was being handled: values of the metric's label ``where``."""

    MESSAGE = "message"
    REQUEST = "request"
    ALARM = "alarm"
    CAPTURE = "capture"
    EVENT = "event"
    STATE = "state"
    TASK = "task"


class InternalErrors:
    """Counts and logs unexpected errors."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Make a counter; ``clock`` returns monotonic seconds."""
        self.counts: Counter[Where] = Counter()
        self._log = RepeatedLog(LOG, clock)

    @contextmanager
    def contained(self, where: Where, what: str) -> Iterator[None]:
        """Catch, count and log any error in the block; ``what`` names the item, for example its topic."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the net itself: count, log, lose the item
            self.caught(where, what, error)

    def caught(self, where: Where, what: str, error: BaseException) -> None:
        """Count an error with one item, and log it with its traceback, rate-limited by kind."""
        self.counts[where] += 1
        kind = f"{where} {type(error).__name__} {_place(error)}"
        self._log.error(kind, f"internal error, one {where} is lost: {what!r:.300}", error)

    def in_loop(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's exception handler: counts errors of callbacks and of tasks that nothing awaits."""
        message = str(context.get("message"))
        self.caught(Where.TASK, message, context.get("exception") or RuntimeError(message))


def _place(error: BaseException) -> str:
    """File and line at which an error was raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at is not None else ""


async def supervised(
    run: Callable[[], Awaitable[None]],
    name: str,
    errors: InternalErrors,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Never:
    """Run a background task for ever: restart it when it fails or returns, with exponential back-off.

    Args:
        run: the task.
        name: name of the task, for the log.
        errors: counts its failures.
        sleep: waits for a number of seconds.
    """
    wait_s = RESTART_FIRST_S
    while True:
        with errors.contained(Where.TASK, name):
            await run()
        LOG.warning("background task ended, restarting it: task=%s wait_s=%.0f", name, wait_s)
        await sleep(wait_s)
        wait_s = min(2 * wait_s, RESTART_LONGEST_S)


@asynccontextmanager
async def beside(runs: Mapping[str, Callable[[], Awaitable[None]]], errors: InternalErrors) -> AsyncIterator[None]:
    """Run background tasks, by name, for as long as the block takes; each as :func:`supervised` does."""
    tasks = [asyncio.create_task(supervised(run, name, errors), name=name) for name, run in runs.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
