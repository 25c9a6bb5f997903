"""Rate-limited logging of repeated faults: the first at once, then one line each period with the number suppressed.

So a plant with one broken sensor does not fill the disk.
"""

import logging
from collections.abc import Callable

PERIOD_S = 30.0
"""Seconds between two lines of one kind. Shorter: a more repetitive log. Longer: changed details of a fault show
later."""


class RepeatedLog:
    """Rate-limits log lines by kind; ``clock`` returns monotonic seconds."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float], period_s: float = PERIOD_S) -> None:
        self._logger = logger
        self._clock = clock
        self._period_s = period_s
        self._next_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, kind: str, text: str) -> None:
        """Log ``text`` as a warning, unless a line of the same ``kind`` was logged within the last period."""
        self._line(logging.WARNING, kind, text, None)

    def error(self, kind: str, text: str, error: BaseException | None = None) -> None:
        """Like :meth:`warning`, but as an error, with the traceback of ``error``."""
        self._line(logging.ERROR, kind, text, error)

    def _line(self, level: int, kind: str, text: str, error: BaseException | None) -> None:
        now = self._clock()
        if now < self._next_s.get(kind, 0.0):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._next_s[kind] = now + self._period_s
        left_out = self._left_out.pop(kind, 0)
        more = f" (and {left_out} more of this kind)" if left_out else ""
        self._logger.log(level, "%s%s", text, more, exc_info=error)
