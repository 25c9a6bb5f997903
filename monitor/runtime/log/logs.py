"""How the daemon logs: key=value lines on a terminal, JSON by option, priorities under journald.

A record is one line, and the lines of its traceback are indented, so text from outside cannot forge a record. A fault
that repeats is logged once a period, with the count of the lines left out: one broken sensor must not fill the disk.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from types import TracebackType

from monitor.runtime.log.printable import printable, printable_lines

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

_UNPRINTED = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON does not escape although a terminal interprets them."""

REPEAT_PERIOD_S = 30.0
"""Seconds between two lines of one kind. Shorter: a more repetitive log. Longer: changed details of a fault show
later."""


class TextFormatter(logging.Formatter):
    """Formats a record as one line, with the traceback below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in the standard library
        """The line, with line breaks and terminal control characters escaped."""
        return printable(super().formatMessage(record))

    def formatException(  # noqa: N802 - the name in the standard library
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """The traceback, indented, so that no line of an error's text looks like a record."""
        return "  " + printable_lines(super().formatException(ei)).replace("\n", "\n  ")


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: time, level, logger, message, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """The object on one line."""
        document = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        line = json.dumps(document, ensure_ascii=False)
        return _UNPRINTED.sub(lambda found: f"\\u{ord(found.group()):04x}", line)


class JournalFormatter(logging.Formatter):
    """Adds journald's priority prefix ``<N>`` to the lines of another formatter (sd-daemon(3))."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The record; every line of a traceback has the prefix."""
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return prefix + self._inner.format(record).replace("\n", f"\n{prefix}")


def _goes_to_journald() -> bool:
    """Whether standard error is systemd's journal stream, and not redirected to a file or terminal."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def configure_logging(style: str, level: str = "info") -> None:
    """Send the log to standard error; ``style`` is ``text`` or ``json``."""
    journald = _goes_to_journald()
    formatter: logging.Formatter = JsonFormatter()
    if style != "json":
        # journald adds the time.
        formatter = TextFormatter(f"{'' if journald else '%(asctime)s %(levelname)s '}%(name)s: %(message)s")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalFormatter(formatter) if journald else formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    # We log failed connections ourselves, with the address.
    logging.getLogger("mqtt").setLevel(logging.NOTSET if level == "debug" else logging.CRITICAL)
    logging.getLogger("librdkafka").setLevel(logging.NOTSET if level == "debug" else logging.CRITICAL + 1)


class RepeatedLog:
    """Rate-limits log lines by kind; ``clock`` returns monotonic seconds."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float], period_s: float = REPEAT_PERIOD_S) -> None:
        self._logger = logger
        self._clock = clock
        self._period_s = period_s
        self._next_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def info(self, kind: str, text: str) -> None:
        """Like :meth:`warning`, but as information."""
        self._line(logging.INFO, kind, text, None)

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
