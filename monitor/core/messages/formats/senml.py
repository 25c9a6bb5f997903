"""SenML (RFC 8428) in JSON: each resolved name is one axis.

A record's name is ``bn`` + ``n``, its value ``bv`` + ``v``, its time ``bt`` + ``t``; base fields apply until they
change. Records without a number are ignored. Does not handle: units, sums, the CBOR and XML forms.
"""

from array import array
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from monitor.core.arrays import Float64
from monitor.core.messages.formats.document import MAX_AXES, Document, listed
from monitor.core.messages.formats.json_document import pieces
from monitor.core.messages.rejection import Reason, Rejected, shown

ABSOLUTE_T_S = 2.0**28
"""From this value on, a time is in UNIX seconds. Below, it is relative to now (RFC 8428, section 4.5.3) and ignored."""

LONGEST_NAME = 512
"""Most characters of ``bn`` and of ``n``. Higher: a pack that changes its names with every record takes longer to read.
Lower: long device names are rejected."""

MAX_WITHOUT_NUMBER = 4096
"""Most records without a number in one pack. Higher: a pack without numbers takes longer to read than one of samples.
Lower: packs with many other records are rejected."""

SEPARATORS = "/:._-"
"""Separators between the name of a device and the name of its axis."""


class _Record(msgspec.Struct, gc=False):
    n: str | None = None
    t: float | None = None
    v: float | None = None
    bn: str | None = None
    bt: float | None = None
    bv: float | None = None


_PACK = msgspec.json.Decoder(msgspec.Raw)
_RECORDS = msgspec.json.Decoder(list[_Record])


def parse_senml(payload: bytes, axes: tuple[str, ...]) -> Document:
    """Read a pack: the numbers of each name, in order.

    Raises:
        Rejected: with the reason.
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: not a pack.
    """
    text = bytes(_PACK.decode(payload)).strip()
    if not text.startswith(b"["):
        raise Rejected(Reason.UNDECODABLE, "a list of records is expected")
    pack = _Pack()
    for piece in pieces(text, b"{"):
        pack.take(_RECORDS.decode(piece))
    columns = {name: np.frombuffer(values) for name, values in pack.values.items()}
    t = pack.first_t if pack.first_t is not None and not pack.first_t < ABSOLUTE_T_S else None
    return Document(_by_axis(columns, axes), t)


class _Pack:
    """The names, numbers and base fields of the records read so far."""

    def __init__(self) -> None:
        self.values: dict[str, array[float]] = {}
        """Numbers by resolved name."""
        self.first_t: float | None = None
        """Resolved time of the first number; None if no number came yet."""
        self._base_name = ""
        self._base_t = 0.0
        self._base_value = 0.0
        self._without_number = 0

    def take(self, records: Sequence[_Record]) -> None:
        """Add the next records."""
        column: array[float] | None = None
        name: str | None = None
        base_value = self._base_value
        for record in records:
            if record.bn is not None:
                self._base_name, column = _bounded(record.bn), None
            if record.bt is not None:
                self._base_t = record.bt
            if record.bv is not None:
                self._base_value = base_value = record.bv
            value = record.v
            if value is None:
                self._without_number += 1
                if self._without_number > MAX_WITHOUT_NUMBER:
                    raise Rejected(Reason.TOO_LARGE, f"more than {MAX_WITHOUT_NUMBER} records without a number")
                continue
            if column is None or record.n != name:
                name = record.n
                column = self._column(self._base_name + _bounded(name or ""))
                if self.first_t is None:
                    self.first_t = self._base_t + (record.t or 0.0)
            column.append(base_value + value)

    def _column(self, name: str) -> "array[float]":
        column = self.values.get(name)
        if column is None:
            if len(self.values) == MAX_AXES:
                raise Rejected(Reason.WRONG_AXES, f"a pack of more than {MAX_AXES} names")
            column = self.values[name] = array("d")
        return column


def _bounded(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise Rejected(Reason.UNDECODABLE, f"a name of more than {LONGEST_NAME} characters: {shown(name)}")
    return name


def _by_axis(columns: Mapping[str, Float64], axes: tuple[str, ...]) -> Float64 | dict[str, Float64]:
    if not columns:
        return np.empty(0)
    if len(axes) == 1:
        if len(columns) > 1:
            raise Rejected(
                Reason.WRONG_AXES,
                f"a pack of {len(columns)} names ({listed(columns)}) for one axis; "
                "configure 'axes' with the ends of the names",
            )
        return next(iter(columns.values()))
    found: dict[str, Float64] = {}
    for name, column in columns.items():
        ends = [axis for axis in axes if name == axis or (name.endswith(axis) and name[-len(axis) - 1] in SEPARATORS)]
        axis = max(ends, key=len, default=None)
        if axis is None or axis in found:
            break
        found[axis] = column
    if len(found) != len(axes) or len(found) != len(columns):
        raise Rejected(
            Reason.WRONG_AXES, f"found {listed(columns)}; expected one name that ends with each of {listed(axes)}"
        )
    return found
