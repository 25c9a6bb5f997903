"""What a person may do to baselines, alike in the running daemon and on its state directory.

Channels are named by glob patterns over their names, which are the values of their labels with ``/`` between them;
``*`` also matches ``/``. A pattern that fits nothing is a mistake and changes nothing at all. A channel that cannot be
changed costs itself only, and is told. Does not handle: what the daemon does with a changed baseline (``desk``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from monitor.errors import ConfigurationError, MonitorError
from monitor.runtime.baselines.history import LONGEST_BY, LONGEST_REASON, History
from monitor.runtime.baselines.store import Asked, Store

NAMED = 5
"""Channels that an error names as examples."""


class Action(StrEnum):
    """What a person may do to a channel's baseline."""

    LEARN = "learn"
    EXTEND = "extend"
    ACCEPT = "accept"
    REVERT = "revert"


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("it must be one line of printable text, and not empty")
    return text.strip()


Line = Annotated[str, AfterValidator(_one_line)]
Pattern = Annotated[str, Field(min_length=1, max_length=300)]


class Statement(BaseModel):
    """What somebody says about channels, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    channels: tuple[Pattern, ...] = Field(min_length=1, max_length=1000)
    """Patterns of the channels' names."""
    by: Line = Field(max_length=LONGEST_BY)
    """Who says it."""
    reason: Line = Field(max_length=LONGEST_REASON)
    """Why."""


class Wish(Statement):
    """What somebody wants to have done to baselines, checked."""

    to: int | None = Field(default=None, ge=1, le=2**31)
    """With ``revert``: number of the baseline to go back to; None: the one before the current one."""

    @property
    def asked(self) -> Asked:
        """Who asks, and why."""
        return Asked(self.by, self.reason)

    @classmethod
    def checked(cls, **values: object) -> "Wish":
        """Check what was given.

        Raises:
            ConfigurationError: a value is wrong; the message names it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError(why(error)) from error


class Parcel(BaseModel):
    """A baseline that somebody brings from elsewhere, checked as far as possible without opening its calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    labels: dict[Pattern, Pattern] = Field(min_length=1, max_length=100)
    """Labels of its channel."""
    by: Line = Field(max_length=LONGEST_BY)
    """Who brings it."""
    reason: Line = Field(max_length=LONGEST_REASON)
    """Why."""
    history: History | None = None
    """Its history elsewhere."""
    calibration: Base64Bytes
    """The calibration file."""


@dataclass(frozen=True)
class Outcome:
    """What became of a wish."""

    changed: dict[str, History] = field(default_factory=dict)
    """The channels that were changed, by name, with their present histories."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why other channels were not changed, by name."""

    def document(self) -> dict[str, object]:
        """The outcome as JSON."""
        changed = {name: history.current for name, history in self.changed.items()}
        return {"changed": changed, "refused": self.refused}


def why(error: ValidationError) -> str:
    """The first problem of a wish, in one line."""
    first = error.errors(include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where or 'the request'}: {first.get('ctx', {}).get('error', first['msg'])}"


def chosen(known: Mapping[str, dict[str, str]], patterns: Iterable[str]) -> dict[str, dict[str, str]]:
    """The labels of the channels that a pattern fits, by name.

    Raises:
        ConfigurationError: a pattern fits none.
    """
    found: dict[str, dict[str, str]] = {}
    for pattern in patterns:
        fitting = {name: labels for name, labels in known.items() if fnmatchcase(name, pattern)}
        if not fitting:
            some = sorted(known)[:NAMED]
            others = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
            there = f"there are {', '.join(some)}{others}" if some else "there is no channel yet"
            raise ConfigurationError(f"no channel fits '{pattern}': {there}; write for example 'fan-*/de/*'")
        found |= fitting
    return found


def change(store: Store, action: Action, labels: dict[str, str], wish: Wish) -> History:
    """Do something to one channel's baseline; it writes to disk.

    Raises:
        MonitorError: why it cannot be done; nothing is changed.
    """
    match action:
        case Action.ACCEPT:
            return store.accept(labels, wish.asked)
        case Action.REVERT:
            return store.revert(labels, wish.asked, wish.to)
        case _:
            return store.ask(labels, action.value, wish.asked)


def change_all(store: Store, action: Action, channels: Mapping[str, dict[str, str]], wish: Wish) -> Outcome:
    """Do something to the baselines of several channels on disk."""
    outcome = Outcome()
    for name, labels in channels.items():
        try:
            outcome.changed[name] = change(store, action, labels, wish)
        except MonitorError as error:
            outcome.refused[name] = str(error)
    return outcome
