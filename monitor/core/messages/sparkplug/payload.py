"""From the bytes of a Sparkplug B payload to its metrics, and from a metric to samples.

A metric of an array type holds its samples packed little-endian; a metric of a number type is one sample. The number of
fields is bounded before protobuf makes an object of each. Does not handle: data sets, templates, compressed payloads,
and which sensor a metric belongs to (``nodes``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from monitor.core.arrays import Numbers
from monitor.core.messages.formats.document import LARGEST, instant, require_finite, require_room
from monitor.core.messages.rejection import Reason, Rejected, shown
from monitor.core.messages.sparkplug.schema import Datatype, PayloadMessage

MAX_FIELDS = 8192
"""Most fields of a payload, nearly all of them metrics. Higher: one message blocks the event loop longer, about 4
microseconds a metric. Lower: the birth of a large device is rejected."""

BOOLEAN = 11
"""The type of a Boolean metric, which holds no samples."""

ARRAYS = {
    Datatype.INT8_ARRAY: "<i1", Datatype.INT16_ARRAY: "<i2", Datatype.INT32_ARRAY: "<i4", Datatype.INT64_ARRAY: "<i8",
    Datatype.UINT8_ARRAY: "<u1", Datatype.UINT16_ARRAY: "<u2", Datatype.UINT32_ARRAY: "<u4",
    Datatype.UINT64_ARRAY: "<u8", Datatype.FLOAT_ARRAY: "<f4", Datatype.DOUBLE_ARRAY: "<f8",
}  # fmt: skip
"""NumPy's type of the items of each array type."""

INTEGERS = {
    Datatype.INT8: (8, True), Datatype.INT16: (16, True), Datatype.INT32: (32, True), Datatype.INT64: (64, True),
    Datatype.UINT8: (8, False), Datatype.UINT16: (16, False), Datatype.UINT32: (32, False),
    Datatype.UINT64: (64, False),
}  # fmt: skip
"""Bits of each integer type, and whether it has a sign."""

REBIRTH = b"Node Control/Rebirth"
"""The metric of a command that asks a node to send its births again."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a payload."""

    name: str | None
    """Its name; None: it has an alias only."""
    alias: int | None
    """The number that a birth gave its name."""
    t: float | None
    """UNIX seconds at which the value was captured; unchecked."""
    datatype: int
    """Its type; 0: not stated, so that the birth's counts."""
    historical: bool
    """Whether the node stored it while it had no connection."""
    null: bool
    """Whether there is no value."""
    message: Any
    """The message of protobuf that holds the value."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload."""

    seq: int | None
    """Number of the message among all of its node, modulo 256."""
    metrics: tuple[Metric, ...]
    """Its metrics, in order."""


def parse_payload(payload: bytes) -> Payload:
    """Read a payload.

    Raises:
        Rejected: it is not a payload, or has too many fields.
    """
    _require_few_fields(payload)
    try:
        message = PayloadMessage.FromString(payload)
        metrics = tuple(_metric(each) for each in message.metrics)
    except (DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.UNDECODABLE, f"not a Sparkplug B payload: {error}") from error
    return Payload(message.seq if message.HasField("seq") else None, metrics)


def _metric(message: Any) -> Metric:
    return Metric(
        str(message.name, "utf-8") if message.HasField("name") else None,
        message.alias if message.HasField("alias") else None,
        message.timestamp / 1000 if message.HasField("timestamp") else None,
        message.datatype,
        message.is_historical,
        message.is_null,
        message,
    )


def samples_of(metric: Metric, datatype: int, packing: str) -> Numbers:
    """The samples of a metric: (n,) finite numbers.

    Args:
        metric: not null.
        datatype: its type, by itself or by its birth.
        packing: NumPy's type of the samples in a metric of type Bytes; empty: not configured.

    Raises:
        Rejected: the value does not fit the type, or a sample is not finite.
    """
    if datatype in ARRAYS:
        return _unpacked(metric, np.dtype(ARRAYS[Datatype(datatype)]))
    if datatype == Datatype.BYTES:
        if not packing:
            raise Rejected(
                Reason.UNDECODABLE,
                "the metric is of type Bytes; say how its samples are packed: {format: sparkplug, bytes: float32}",
            )
        return _unpacked(metric, np.dtype(packing))
    value = _number(metric, datatype)
    if not abs(value) < LARGEST:
        raise Rejected(Reason.NON_FINITE, f"the value is NaN, infinite or beyond {LARGEST:g}")
    return np.array([value], np.float64)


def _unpacked(metric: Metric, dtype: "np.dtype[Any]") -> Numbers:
    data: bytes = metric.message.bytes_value
    if not metric.message.HasField("bytes_value"):
        raise Rejected(Reason.UNDECODABLE, "the metric is of an array type, but its value is not bytes")
    if not data:
        raise Rejected(Reason.EMPTY, "the array is empty")
    if len(data) % dtype.itemsize:
        raise Rejected(Reason.WRONG_LENGTH, f"{len(data)} bytes are not a multiple of {dtype.itemsize} ({dtype.name})")
    samples: Numbers = np.frombuffer(data, dtype)
    require_room(samples.size)
    if dtype.kind != "f" and dtype.itemsize < 8:
        return samples
    if dtype.kind != "f":
        samples = samples.astype(np.float64)
    require_finite(samples)
    return samples


def _number(metric: Metric, datatype: int) -> float:
    message = metric.message
    if datatype in INTEGERS:
        bits, signed = INTEGERS[Datatype(datatype)]
        field = "int_value" if message.HasField("int_value") else "long_value"
        if message.HasField(field):
            value: int = getattr(message, field) & ((1 << bits) - 1)
            return float(value - (1 << bits) if signed and value >> (bits - 1) else value)
    elif datatype in {Datatype.FLOAT, Datatype.DOUBLE}:
        field = "float_value" if message.HasField("float_value") else "double_value"
        if message.HasField(field):
            return float(getattr(message, field))
    else:
        raise Rejected(Reason.UNDECODABLE, f"a metric of type {datatype} holds no samples")
    raise Rejected(Reason.UNDECODABLE, f"the metric has no value of its type {Datatype(datatype).name}")


def plain_type(metric: Metric) -> int:
    """The type that the value of a metric shows without a birth; 0: none."""
    if metric.message.HasField("float_value"):
        return Datatype.FLOAT
    return Datatype.DOUBLE if metric.message.HasField("double_value") else 0


def captured_at(metric: Metric) -> float | None:
    """UNIX seconds at which a metric was captured; None where it does not say.

    Raises:
        Rejected: the time is not between 1970 and 2100.
    """
    return instant(metric.t)


def integer(metric: Metric) -> int | None:
    """The value of a metric of an integer type, without sign; None if it has none."""
    for field in ("long_value", "int_value"):
        if metric.message.HasField(field):
            return int(getattr(metric.message, field))
    return None


def rebirth_request(at_s: float) -> bytes:
    """The payload of a command that asks a node for its births; ``at_s`` is now in UNIX seconds."""
    message = PayloadMessage(timestamp=round(1000 * at_s))
    message.metrics.add(name=REBIRTH, timestamp=round(1000 * at_s), datatype=BOOLEAN, boolean_value=True)
    return bytes(message.SerializeToString())


def _require_few_fields(payload: bytes) -> None:
    """Count the outermost fields: two bytes can be a metric, which takes a hundred as an object."""
    at, fields, end = 0, 0, len(payload)
    while at < end:
        fields += 1
        if fields > MAX_FIELDS:
            raise Rejected(Reason.TOO_LARGE, f"more than {MAX_FIELDS} metrics and other fields")
        tag, at = _varint(payload, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(payload, at)
        elif kind == 2:
            length, at = _varint(payload, at)
            at += length
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        else:
            raise Rejected(Reason.UNDECODABLE, f"not a Sparkplug B payload: begins with {shown(payload[:8])}")


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends; cut off at the end of the payload, which protobuf refuses."""
    value = 0
    for shift in range(0, 70, 7):
        byte = payload[at] if at < len(payload) else 0
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return value, at
