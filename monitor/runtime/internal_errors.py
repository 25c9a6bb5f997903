"""The last net: an error that nobody foresaw costs one item, is counted, and is logged with its traceback.

What comes from outside is checked where it comes in; what passes should raise nothing. Where it does all the same, the
daemon goes on with the next item. The counts are the metric ``vibration_internal_errors_total{where}``, on which the
rules alert: every one is a defect of the daemon. Helper tasks run under :func:`supervised`, which starts them again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Never

from monitor.runtime.repeated_log import RepeatedLog

LOG = logging.getLogger(__name__)

RESTART_FIRST_S = 1.0
"""Wait before a helper task that failed is started again; it doubles with each failure. Shorter: a task that fails at
once fills the log. Longer: what it does is missing for longer after a passing fault."""

RESTART_LONGEST_S = 60.0
"""Longest wait before a helper task is started again."""


class Where(StrEnum):
    """What was being handled; the values of the metric's label ``where``."""

    MESSAGE = "message"
    REQUEST = "request"
    ALARM = "alarm"
    CAPTURE = "capture"
    EVENT = "event"
    STATE = "state"
    TASK = "task"


class InternalErrors:
    """Counts what should not have happened."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Make a net; ``clock`` gives monotonic seconds."""
        self.counts: Counter[Where] = Counter()
        self._log = RepeatedLog(LOG, clock)

    @contextmanager
    def contained(self, where: Where, what: str) -> Iterator[None]:
        """Let an error inside the block end with the block; ``what`` names the item, for example its topic."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the net itself: counted, logged, and the item is lost
            self.caught(where, what, error)

    def caught(self, where: Where, what: str, error: BaseException) -> None:
        """Count an error that met one item, and log it with its traceback; one of a kind a period."""
        self.counts[where] += 1
        kind = f"{where} {type(error).__name__} {_place(error)}"
        self._log.error(kind, f"internal error, one {where} is lost: {what!r:.300}", error)

    def in_loop(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count what a callback or a forgotten task raised: the event loop's exception handler."""
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
    """Run a helper task for ever: when it fails or returns, start it again after a wait that doubles.

    Args:
        run: the task.
        name: its name, for the log.
        errors: where failures are counted.
        sleep: waits for seconds.
    """
    wait_s = RESTART_FIRST_S
    while True:
        with errors.contained(Where.TASK, name):
            await run()
        LOG.warning("helper task ended, starting it again: task=%s wait_s=%.0f", name, wait_s)
        await sleep(wait_s)
        wait_s = min(2 * wait_s, RESTART_LONGEST_S)
