"""The rejection of a message: one exception with a reason from a fixed list.

Its text goes to logs and terminals. Values from a message are untrusted, so :func:`shown` escapes and shortens them.
"""

from enum import StrEnum

SHOWN = 60
"""Longest quoted value in characters. Fewer: names look alike. More: log lines become unreadable."""


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
    NO_BIRTH = "no_birth"
    CHANNEL_LIMIT = "channel_limit"
    LABEL_CONFLICT = "label_conflict"
    RETAINED = "retained"
    REPEATED = "repeated"
    LATE = "late"
    RING_FULL = "ring_full"


class Rejected(Exception):  # noqa: N818 - an outcome, not an error of the program
    """A message was rejected, for ``reason``."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def shown(value: object) -> str:
    """A value from a message, safe to print: quoted, control characters escaped, at most ``SHOWN`` characters."""
    text = repr(value[:SHOWN] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
