"""From the bytes of one message to the samples of its axes, or the reason why not.

Every payload format is one function from bytes to a :class:`Message`; whatever is wrong with a payload is one
:class:`Rejected` with a reason from a fixed list. Refuses to know: topics, rings, clocks.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

RealArray = npt.NDArray[np.generic]


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


@dataclass(frozen=True, slots=True)
class Message:
    """The samples of one message."""

    axes: Mapping[str, RealArray]
    """Axis name to (n,) samples, all of one length, finite, as sent (unit and scale not applied)."""
    seq: int | None = None
    """Sequence number, one a message."""
    t: float | None = None
    """UNIX seconds of the first sample."""


Decoder = Callable[[bytes], Message]

MAX_AXES = 64
"""Axes in one message; more is a mistake in the payload's orientation (axes, samples)."""


LARGEST = 1e12
"""Largest sample taken, in raw units: far above any sensor, far enough below float32's limit to be squared."""


def decoder(kind: str, axes: tuple[str, ...], sampling_rate_hz: float) -> Decoder:
    """The decoder of one sensor's payloads.

    Args:
        kind: ``float32``, ``float64``, ``int16`` (packed little-endian, axes interleaved), ``json``, ``cbor``,
            ``msgpack`` (a document as in the interface description), or ``senml``.
        axes: names of the axes in a message, in order; one name for a message of one channel.
        sampling_rate_hz: checked against the rate that a document states.

    Returns:
        A function from payload bytes to :class:`Message`; it raises :class:`Rejected`.
    """
    if kind in PACKED:
        return _packed(np.dtype(PACKED[kind]), axes)
    parse = PARSERS[kind]

    def decode(payload: bytes) -> Message:
        if not payload:
            raise Rejected(Reason.EMPTY, "the payload is empty")
        try:
            document = parse(payload)
        except Rejected:
            raise
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            RecursionError,
            OverflowError,
            EOFError,
            AttributeError,
        ) as error:
            raise Rejected(Reason.UNDECODABLE, f"not a {kind} document: {error}") from error
        return _message(document, axes, sampling_rate_hz)

    return decode


PACKED = {"float32": "<f4", "float64": "<f8", "int16": "<i2"}


def _packed(dtype: np.dtype[Any], axes: tuple[str, ...]) -> Decoder:
    width = dtype.itemsize * len(axes)
    exact = dtype.kind == "i"

    def decode(payload: bytes) -> Message:
        size = len(payload)
        if not size:
            raise Rejected(Reason.EMPTY, "the payload is empty")
        if size % width:
            what = f"{len(axes)} axes of {dtype.name}" if len(axes) > 1 else dtype.name
            raise Rejected(Reason.WRONG_LENGTH, f"{size} bytes are not a multiple of {width} ({what})")
        samples = np.frombuffer(payload, dtype)
        if not exact:
            _require_finite(samples)
        if len(axes) == 1:
            return Message({axes[0]: samples})
        columns = samples.reshape(-1, len(axes))
        return Message({axis: columns[:, i] for i, axis in enumerate(axes)})

    return decode


def _require_finite(samples: npt.NDArray[Any]) -> None:
    # One pass over the samples: their energy is NaN or infinite if one is, and too large if one is.
    with np.errstate(over="ignore", invalid="ignore"):
        energy = float(np.dot(samples, samples))
    if not energy < LARGEST**2:
        raise Rejected(Reason.NON_FINITE, f"a sample is NaN, infinite or beyond {LARGEST:g}")


def _message(document: Any, axes: tuple[str, ...], sampling_rate_hz: float) -> Message:
    if isinstance(document, list):
        document = {"samples": document}
    if not isinstance(document, dict):
        raise Rejected(Reason.UNDECODABLE, f"expected an object or an array, found {type(document).__name__}")
    if "samples" not in document:
        raise Rejected(Reason.UNDECODABLE, "the object has no 'samples'")
    rate = _number(document, "fs")
    if rate is not None and not math.isclose(rate, sampling_rate_hz, rel_tol=1e-3):
        raise Rejected(Reason.WRONG_RATE, f"fs is {rate:g} Hz, {sampling_rate_hz:g} Hz is configured")
    seq = document.get("seq")
    if seq is not None and (isinstance(seq, bool) or not isinstance(seq, int)):
        raise Rejected(Reason.UNDECODABLE, f"'seq' must be an integer, found {seq!r:.40}")
    return Message(_axes(document["samples"], axes), seq, _number(document, "t"))


def _number(document: Mapping[str, Any], key: str) -> float | None:
    value = document.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Rejected(Reason.UNDECODABLE, f"'{key}' must be a finite number, found {value!r:.40}")
    return float(value)


def _axes(samples: Any, axes: tuple[str, ...]) -> dict[str, RealArray]:
    if isinstance(samples, dict):
        if len(axes) > 1 and set(samples) != set(axes):
            raise Rejected(Reason.WRONG_AXES, f"axes {sorted(samples)} came, {sorted(axes)} are configured")
        if not samples or len(samples) > MAX_AXES or not all(isinstance(name, str) for name in samples):
            raise Rejected(Reason.WRONG_AXES, f"an object of 1 to {MAX_AXES} named axes was expected")
        columns = {name: _column(values) for name, values in samples.items()}
        if len({column.size for column in columns.values()}) > 1:
            raise Rejected(Reason.WRONG_LENGTH, "the axes have different numbers of samples")
        return columns
    if not isinstance(samples, list):
        raise Rejected(Reason.UNDECODABLE, f"'samples' must be a list or an object, found {type(samples).__name__}")
    if samples and isinstance(samples[0], list):
        try:
            table = np.array(samples, np.float64)
        except (ValueError, TypeError) as error:
            raise Rejected(Reason.WRONG_LENGTH, "the rows of 'samples' differ in length or hold no numbers") from error
        if table.ndim != 2 or table.shape[1] != len(axes):
            raise Rejected(Reason.WRONG_AXES, f"rows of {len(axes)} axes are configured, found shape {table.shape}")
        return {axis: _checked(table[:, i]) for i, axis in enumerate(axes)}
    if len(axes) > 1:
        raise Rejected(Reason.WRONG_AXES, f"rows of {len(axes)} axes are configured, found a flat list")
    return {axes[0]: _column(samples)}


def _column(values: Any) -> RealArray:
    if not isinstance(values, list):
        raise Rejected(Reason.UNDECODABLE, f"an axis must be a list of numbers, found {type(values).__name__}")
    try:
        column = np.array(values)
    except (ValueError, OverflowError) as error:
        raise Rejected(Reason.UNDECODABLE, "an axis must be a flat list of numbers") from error
    if column.size and (column.ndim != 1 or column.dtype.kind not in "if"):
        raise Rejected(Reason.UNDECODABLE, "an axis must be a flat list of numbers")
    return _checked(column.astype(np.float64))


def _checked(column: npt.NDArray[np.float64]) -> RealArray:
    if not column.size:
        raise Rejected(Reason.EMPTY, "there are no samples")
    _require_finite(column)
    return column


def _parse_json(payload: bytes) -> Any:
    return json.loads(payload)


def _parse_cbor(payload: bytes) -> Any:
    import cbor2

    try:
        return cbor2.loads(payload)
    except cbor2.CBORDecodeError as error:
        raise ValueError(str(error)) from error


def _parse_msgpack(payload: bytes) -> Any:
    import msgpack

    try:
        return msgpack.unpackb(payload)
    except msgpack.UnpackException as error:
        raise ValueError(str(error)) from error


def _parse_senml(payload: bytes) -> Any:
    """RFC 8428: a list of records, base fields carried on; the values in order are the samples of one axis."""
    records = json.loads(payload)
    base_time = 0.0
    start: float | None = None
    values: list[float] = []
    for record in records:
        base_time = record.get("bt", base_time)
        if "v" in record:
            if start is None and ("bt" in record or "t" in record):
                start = base_time + record.get("t", 0.0)
            values.append(record.get("bv", 0.0) + record["v"])
    return {"samples": values, "t": start}


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "json": _parse_json,
    "cbor": _parse_cbor,
    "msgpack": _parse_msgpack,
    "senml": _parse_senml,
}

FORMATS = (*PACKED, *PARSERS)
"""Every payload format that :func:`decoder` knows."""
