"""Selects the channel of a file to be read, with its sampling rate and unit.

Nothing is guessed. If the file and the user's options contradict each other, or if both leave a choice open, the error
message says which option to use.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.core.units import UNITS_MPS2, MeasuredRate
from monitor.errors import RecordingError
from monitor.recording.beside import Beside, beside, is_quantity
from monitor.recording.options import ALL_CHANNELS, RecordingOptions
from monitor.recording.readers.contents import RATE_NAMES, Contents, Layout, Stored, arrange

UNIT_ENDINGS = {"_mg": "mg", "_g": "g", "_mps2": "m/s2"}
"""Units by the ending of an array's or a column's name."""

UNIT_SPELLINGS = {"m/s^2": "m/s2", "m/s²": "m/s2", "m/s**2": "m/s2", "mps2": "m/s2", "G": "g"}
"""Other spellings of units in files."""

LISTED = 20
"""Most keys listed in an error message."""


@dataclass(frozen=True)
class Selection:
    """One channel of one array of a file."""

    stored: Stored
    """The selected array."""
    layout: Layout
    """The array as (records, samples, channels), before decimation."""
    channel: int
    """Index of the channel."""
    channel_names: tuple[str, ...]
    """Names of all channels of the array."""
    sampling_rate_hz: float
    """Sampling rate before decimation."""
    unit: str | None
    """One of ``UNITS_MPS2``; None if unknown."""
    start_s: tuple[float, ...] | None
    """Start of each record in seconds; None if the file does not state it."""
    quantities: Mapping[str, Beside | str]
    """The measured quantities of ``RecordingOptions.quantities`` that the file has beside the samples, by name; or why
    one cannot be used."""

    @property
    def channel_name(self) -> str:
        """Name of the selected channel."""
        return self.channel_names[self.channel]


def select(address: str, key: str | None, contents: Contents, options: RecordingOptions) -> Iterator[Selection]:
    """Select a channel, or every channel if ``options`` has ``all``.

    Args:
        address: the recording's address, for error messages.
        key: the part of the address after ``#``.
        contents: contents of the file.
        options: options of the command.

    Yields:
        Selections in the order of the channels.

    Raises:
        RecordingError: see :func:`monitor.recording.source.open_recording`.
    """
    stored = _array(address, None if contents.key_is_channel else key, contents, options.quantities)
    facts = {**contents.facts, **stored.facts}
    starts = None if facts.get("start_s") is None else np.atleast_1d(np.asarray(facts["start_s"], float)).ravel()
    layout = arrange(stored.shape, None if starts is None else starts.size)
    names = _channel_names(facts, layout)
    wanted = options.channel
    if contents.key_is_channel and key is not None:
        if wanted not in (None, key):
            raise RecordingError(f"{address}: the address and --channel {wanted} name two channels; leave one out")
        wanted = key
    rate = _rate(address, facts, options)
    if starts is not None and starts.size != layout.records:
        starts = None  # the starts belong to another array of the file
    quantities = beside(stored, layout, names, contents, options.quantities)
    for channel in _channels(address, wanted, names, options.quantities, by_key=contents.key_is_channel):
        unit = _unit(address, facts, (names[channel], stored.key), options)
        given = None if starts is None else tuple(starts.tolist())
        yield Selection(stored, layout, channel, names, rate, unit, given, quantities)


OWN_KEY = "acceleration"
"""Name of the samples in files that this package writes; it is preferred over other arrays."""


def _array(address: str, key: str | None, contents: Contents, quantities: Sequence[str]) -> Stored:
    arrays, unusable = contents.arrays, contents.unusable
    if key is not None:
        if key in arrays:
            return arrays[key]
        if key in unusable:
            raise RecordingError(f"{address}: the array {unusable[key]}")
        near = difflib.get_close_matches(key, arrays, 1)
        hint = f"did you mean '{near[0]}'? It" if near else "it"
        has = _listed(arrays) or "no array that could be a recording"
        raise RecordingError(f"{address}: the file has no '{key}'; {hint} has {has}")
    arrays = {name: array for name, array in arrays.items() if not is_quantity(name, quantities)}
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if OWN_KEY in arrays:
        return arrays[OWN_KEY]
    if arrays:
        example = next(iter(arrays))
        raise RecordingError(
            f"{address}: several arrays could be the recording: {_listed(arrays)}; name one, for example "
            f"'{address}#{example}'"
        )
    reasons = "; ".join(f"{'#' + name if name else 'its array'} {why}" for name, why in list(unusable.items())[:LISTED])
    raise RecordingError(f"{address}: holds no array that could be a recording" + (f": {reasons}" if reasons else ""))


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    shown = [str(name) for name in names][:LISTED]
    return ", ".join(shown) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _channel_names(facts: Mapping[str, Any], layout: Layout) -> tuple[str, ...]:
    given = facts.get("channels")
    names = [text(name) for name in np.atleast_1d(np.asarray(given)).ravel()] if given is not None else []
    return tuple(names) if len(names) == layout.channels else tuple(str(k) for k in range(layout.channels))


def _channels(
    address: str, wanted: str | None, names: tuple[str, ...], quantities: Sequence[str], *, by_key: bool
) -> Sequence[int]:
    signals = [number for number, name in enumerate(names) if name not in quantities]
    if wanted == ALL_CHANNELS and ALL_CHANNELS not in names and signals:
        return signals
    if wanted is None:
        if len(signals) == 1:
            return signals
        how = f"'{address}#{names[0]}' or --channel {names[0]}" if by_key else f"--channel {names[0]}"
        raise RecordingError(f"{address}: has {len(names)} channels: {_listed(names)}; choose one, for example {how}")
    if wanted in names:
        return [names.index(wanted)]
    if wanted.isdecimal() and int(wanted) < len(names):
        return [int(wanted)]
    near = difflib.get_close_matches(wanted, names, 1)
    hint = f"did you mean '{near[0]}'? Its" if near else "its"
    raise RecordingError(
        f"{address}: there is no channel '{wanted}'; {hint} channels are {_listed(names)}, counted from 0"
    )


def _rate(address: str, facts: Mapping[str, Any], options: RecordingOptions) -> float:
    given = next((facts[name] for name in RATE_NAMES if name in facts), None)
    stated = None if given is None else _number(given)
    wanted = options.sampling_rate_hz
    if given is not None and (stated is None or not 0 < stated < 1e9):
        raise RecordingError(f"{address}: the file's sampling rate is {text(given)}; expected a number of Hz above 0")
    if stated is None and wanted is None:
        raise RecordingError(f"{address}: the file does not say its sampling rate; add --sampling-rate-hz")
    if stated is not None and (measured := _measured(facts)) and measured.contradicts(stated):
        if wanted is None:
            raise RecordingError(
                f"{address}: the file says {stated:g} Hz, but {measured.rate_hz:.4g} samples a second came while it "
                f"was recorded. Say which is right: --sampling-rate-hz {stated:g} if it was recorded from a replay "
                "that was not in real time, otherwise the sensor's own rate"
            )
        if not measured.contradicts(wanted):
            return wanted
    if stated is not None and wanted is not None and abs(stated - wanted) > 1e-6 * stated:
        raise RecordingError(
            f"{address}: the file says {stated:g} Hz but --sampling-rate-hz says {wanted:g}; leave the option out, or "
            "correct the file. To change the rate, use --decimate"
        )
    return stated if stated is not None else float(wanted or 0)


def _measured(facts: Mapping[str, Any]) -> MeasuredRate | None:
    """How fast the samples came while ``record`` recorded them; None if the file does not say."""
    found = MeasuredRate(_number(facts.get("measured_rate_hz")) or 0.0, _number(facts.get("measured_over_s")) or 0.0)
    return found if 0 < found.rate_hz < 1e12 and found.over_s > 0 else None


def _number(value: Any) -> float | None:
    try:
        return float(np.asarray(value).ravel()[0])
    except (ValueError, TypeError, IndexError):
        return None


def _unit(address: str, facts: Mapping[str, Any], names: Sequence[str], options: RecordingOptions) -> str | None:
    stated = None
    if text(facts.get("unit", "")):
        spelled = text(facts["unit"])
        stated = UNIT_SPELLINGS.get(spelled, spelled)
        if stated not in UNITS_MPS2:
            raise RecordingError(
                f"{address}: the file says its unit is '{spelled}'; expected one of {', '.join(UNITS_MPS2)}. Convert it"
            )
    for name in names:
        stated = stated or next((unit for ending, unit in UNIT_ENDINGS.items() if name.endswith(ending)), None)
    if stated and options.unit and stated != options.unit:
        raise RecordingError(
            f"{address}: the file says its unit is {stated} but --unit says {options.unit}; leave the option out, or "
            "correct the file"
        )
    return stated or options.unit


def text(value: Any) -> str:
    """A metadata value as text, from text, bytes or an array of one value."""
    array = np.asarray(value).ravel()
    if not array.size:
        return ""
    first = array[0]
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first).strip()
