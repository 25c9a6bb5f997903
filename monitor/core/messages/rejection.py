"""Why a message is not used: one exception with a reason from a fixed list.

The text goes to the log and to a terminal, and what it quotes was written by a stranger: :func:`shown` quotes it.
"""

from enum import StrEnum

SHOWN = 60
"""Characters of a quoted value. Fewer: a name cannot be told from another. More: log lines that nobody reads."""


class Reason(StrEnum):
    """Why a message was rejected; the values of the metric's label ``reason``."""

    UNDECODABLE = "undecodable"
    EMPTY = "empty"
    WRONG_LENGTH = "wrong_length"
    NON_FINITE = "non_finite"
    TOO_LARGE = "too_large"
    WRONG_RATE = "wrong_rate"
    WRONG_AXES = "wrong_axes"
    WRONG_LABEL = "wrong_label"
    WRONG_TIME = "wrong_time"
    UNKNOWN_TOPIC = "unknown_topic"
    CHANNEL_LIMIT = "channel_limit"
    LABEL_CONFLICT = "label_conflict"
    RETAINED = "retained"
    REPEATED = "repeated"
    LATE = "late"
    RING_FULL = "ring_full"


class Rejected(Exception):  # noqa: N818 - an outcome, not an error of the program
    """A message that is not used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def shown(value: object) -> str:
    """A value from a message, safe to print: quoted, control characters escaped, at most ``SHOWN`` characters."""
    text = repr(value[:SHOWN] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
