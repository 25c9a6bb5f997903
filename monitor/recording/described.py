"""Recordings with their own reading options in the address: ``FILE#key?decimate=4&unit=g``.

The recordings of one command often differ in rate, unit or channel. Options after the question mark override those of
the command. ``first=0.25`` takes only the first quarter, such as the healthy beginning of a run-to-failure test.

Any other name states an operating condition: ``speed_rpm=1200`` for the whole recording, or ``speed_rpm`` alone for the
array or column of that name in the file (:mod:`monitor.recording.conditions` reads it). A name that is nearly an option
is taken for a mistake.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from monitor.errors import ConfigurationError
from monitor.recording.fit import require_samples
from monitor.recording.options import RecordingOptions
from monitor.recording.part import beginning
from monitor.recording.readers.contents import CLOCKS, FACT_NAMES, RATE_NAMES
from monitor.recording.selection import OWN_KEY
from monitor.recording.source import MAX_MAGNITUDE, Recording, open_recordings

KEYS = ("sampling-rate-hz", "channel", "decimate", "unit", "first")

QUANTITY = re.compile(r"[a-z][a-z0-9_]{0,99}")
"""A name that may be a measured quantity."""

MEANT = (
    dict.fromkeys(("from", "until", "interval", "record-interval"), "an option of the command, such as --until 1h")
    | {name.lower().replace("_", "-"): f"'{KEYS[0]}'" for name in RATE_NAMES}
    | {"channels": "'channel'"}
    | {key: f"'{key}'" for key in KEYS}
)
"""What is meant by a word that no quantity may be called, or nearly."""

CLOSE = 0.76
"""Similarity (difflib) from which a name is taken for a mistaken option. Lower: quantities such as ``estimate`` are
refused. Higher: ``decimation=4`` is read as a quantity, and the samples are not decimated."""

SHORTEST_START = 3
"""Fewest letters of the start of an option, such as ``dec``, that are taken for the option. Lower: short names of
quantities are refused. Higher: abbreviations are read as quantities."""


@dataclass(frozen=True)
class Described:
    """One channel, or the part of it to be read, and what is said of its operating condition."""

    recording: Recording
    """The channel, opened."""
    quantities: Mapping[str, float | None]
    """Measured quantities by name: the value for the whole recording, or None if it is in the file."""


class _Address(NamedTuple):
    """The parsed form of an address."""

    address: str
    options: dict[str, str]
    quantities: dict[str, float | None]


def open_described(
    texts: Sequence[str], options: RecordingOptions, needed: int = 0, purpose: str = ""
) -> list[Described]:
    """Open recordings as described.

    Args:
        texts: ``FILE``, ``FILE#key``, either with ``?key=value&key=value``.
        options: of the command, for what a text does not say.
        needed: samples without a break that each must have; 0: any number.
        purpose: what they are needed for, for the message.

    Raises:
        ConfigurationError: a key or value cannot be.
        RecordingError: a recording cannot be read or is too short.
    """
    addresses = [_parsed(text) for text in texts]
    names = tuple(dict.fromkeys(name for each in addresses for name in each.quantities))
    found = []
    for text, (address, given, quantities) in zip(texts, addresses, strict=True):
        own, first = _options(text, given, replace(options, quantities=names))
        for whole in open_recordings([address], own):
            recording = beginning(whole, first)
            if needed:
                require_samples(recording, needed, purpose)
            found.append(Described(recording, quantities))
    return found


def refuse_quantities(described: Sequence[Described], command: str) -> None:
    """Reject measured quantities on behalf of a command that has no use for them.

    Raises:
        ConfigurationError: there are some.
    """
    for each in described:
        if each.quantities:
            raise ConfigurationError(
                f"{each.recording.address}: {command} makes no use of measured quantities; leave "
                f"{', '.join(each.quantities)} out after '?'"
            )


def _parsed(text: str) -> _Address:
    address, mark, query = text.rpartition("?")
    if not mark or Path(text).is_file():
        return _Address(text, {}, {})
    options: dict[str, str] = {}
    quantities: dict[str, float | None] = {}
    for item in query.split("&"):
        key, sign, value = (unquote(part) for part in item.partition("="))
        if key in options or key in quantities:
            raise ConfigurationError(f"{text}: '{key}' stands twice after '?'; give it once")
        if key in KEYS:
            if not sign:
                raise ConfigurationError(f"{text}: '{key}' needs a value after '?', such as decimate=4 or unit=g")
            options[key] = value
        else:
            _require_quantity(text, key)
            quantities[key] = _value(text, key, value) if sign else None
    return _Address(address, options, quantities)


def _require_quantity(text: str, key: str) -> None:
    known = f"Options are {', '.join(KEYS)}, written key=value and joined with &; the name of a measured quantity"
    if not QUANTITY.fullmatch(key) and key.replace("_", "-") not in MEANT:
        raise ConfigurationError(
            f"{text}: '{key}' is not known after '?'. {known} has lower-case letters, digits and _"
        )
    word = key.replace("_", "-")
    near = difflib.get_close_matches(word, MEANT, 1, CLOSE)
    near += [option for option in KEYS if len(word) >= SHORTEST_START and option.startswith(word)]
    if near:
        raise ConfigurationError(
            f"{text}: '{key}' is not known after '?'; did you mean {MEANT[near[0]]}? {known} must be less like an "
            "option"
        )
    if key in FACT_NAMES or key in CLOCKS or key == OWN_KEY:
        raise ConfigurationError(
            f"{text}: '{key}' is no measured quantity, since recordings give that name to something else. {known} must "
            "be another"
        )


def _value(text: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not abs(number) <= MAX_MAGNITUDE:
        raise ConfigurationError(
            f"{text}: {name} is '{value}'; a measured quantity is a finite number, such as {name}=40, or {name} alone "
            f"for the array of that name in the file. Options are {', '.join(KEYS)}"
        )
    return number


def _options(text: str, values: Mapping[str, str], options: RecordingOptions) -> tuple[RecordingOptions, float]:
    try:
        first = float(values.get("first", 1.0))
        own = replace(
            options,
            sampling_rate_hz=float(values["sampling-rate-hz"])
            if "sampling-rate-hz" in values
            else options.sampling_rate_hz,
            channel=values.get("channel", options.channel),
            decimate=int(values.get("decimate", options.decimate)),
            unit=values.get("unit", options.unit),
        )
    except ValueError as error:
        raise ConfigurationError(f"{text}: {error}; write numbers after '?'") from error
    if not 0 < first <= 1:
        raise ConfigurationError(f"{text}: first is {first:g}; it is a part of the recording, above 0 and at most 1")
    return own, first
