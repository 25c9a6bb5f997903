"""JSON documents: msgspec checks the types, and arrays are decoded in pieces to bound the memory.

A Python float takes 32 bytes, its text as little as two (``1,``). The text of an array is therefore split at commas and
decoded piece by piece into one NumPy array. A split inside a string gives a piece that is not a list of numbers and is
rejected.
"""

import re
from collections.abc import Iterator

import msgspec
import numpy as np

from monitor.core.arrays import Float64
from monitor.core.messages.formats.document import MAX_AXES, Document, require_room
from monitor.core.messages.rejection import Reason, Rejected

PIECE_BYTES = 2**15
"""Bytes of text decoded at once. Larger: more memory, up to 16 bytes per byte of text. Smaller: more calls."""


class Fields(msgspec.Struct):
    """An object with samples. Other keys are ignored, wrong types are rejected."""

    samples: msgspec.Raw
    t: float | None = None
    seq: int | None = None
    fs: float | None = None


_FIELDS = msgspec.json.Decoder(Fields)
_ANY = msgspec.json.Decoder(msgspec.Raw)
_NAMED = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NUMBERS = msgspec.json.Decoder(list[float])
_ROWS = re.compile(rb"\[\s*\[")
_NOT_STRUCTURE = bytes(sorted(set(range(256)) - set(b"[],")))
_BOM = b"\xef\xbb\xbf"


def parse_json(payload: bytes, axes: tuple[str, ...]) -> Document:
    """Read an object with ``samples``, or a bare array.

    Raises:
        Rejected: with the reason.
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: not such a document.
    """
    text = payload.removeprefix(_BOM)
    try:
        if text.lstrip()[:1] == b"[":
            return Document(_samples(_ANY.decode(text), axes))
        fields = _FIELDS.decode(text)
    except msgspec.DecodeError as error:
        if b"NaN" in text or b"Infinity" in text:
            raise Rejected(Reason.NON_FINITE, f"NaN or Infinity, which JSON does not have ({error})") from error
        raise
    return Document(_samples(fields.samples, axes), fields.t, fields.seq, fields.fs)


def pieces(array: bytes, mark: bytes) -> Iterator[bytes]:
    """Split the text of a JSON array before some of the ``mark`` bytes; each piece is again the text of an array."""
    at, last = 1, len(array) - 1
    if last <= PIECE_BYTES:
        yield array
        return
    while at < last:
        end = last
        if last - at > PIECE_BYTES:
            end = array.rfind(mark, at + 1, at + PIECE_BYTES)
            if end < 0:
                end = array.find(mark, at + PIECE_BYTES, last)
            if end < 0:
                end = last
        yield b"[" + array[at:end].strip(b", \t\r\n") + b"]"
        at = end


def _samples(raw: msgspec.Raw, axes: tuple[str, ...]) -> Float64 | dict[str, Float64]:
    text = bytes(raw).strip()
    if text.startswith(b"{"):
        # Names have two quotes each, numbers none: counting quotes bounds the names before they are decoded.
        if text.count(b'"') > 4 * MAX_AXES:
            raise Rejected(Reason.WRONG_AXES, f"an object of 1 to {MAX_AXES} named axes is expected, found more")
        return {name: _flat(bytes(values)) for name, values in _NAMED.decode(text).items()}
    return _rows(text, len(axes)) if _ROWS.match(text) else _flat(text)


def _flat(text: bytes) -> Float64:
    """The numbers of ``[1, 2.5, ...]``, (n,)."""
    if not text.startswith(b"["):
        raise Rejected(Reason.UNDECODABLE, "an axis must be a list of numbers")
    if len(text) <= PIECE_BYTES:
        numbers = _NUMBERS.decode(text)
        return np.fromiter(numbers, np.float64, len(numbers))
    # Each number and its comma take at least two bytes, so more commas than that stand in strings.
    room = min(text.count(b","), len(text) // 2) + 1
    require_room(room)
    samples = np.empty(room)
    count = 0
    for piece in pieces(text, b","):
        numbers = _NUMBERS.decode(piece)
        samples[count : count + len(numbers)] = np.fromiter(numbers, np.float64, len(numbers))
        count += len(numbers)
    return samples[:count]


def _rows(text: bytes, width: int) -> Float64:
    """The numbers of ``[[1, 2], [3, 4], ...]``, (n, width)."""
    # The brackets and commas alone give the shape. Without the inner brackets the text is a flat list, which must hold
    # numbers only.
    structure = text.translate(None, _NOT_STRUCTURE)
    row = b"[" + b"," * (width - 1) + b"]"
    count = (len(structure) - 1) // (len(row) + 1)
    if structure[1:-1] + b"," != (row + b",") * count:
        if structure.startswith(b"[" + row):
            raise Rejected(Reason.WRONG_LENGTH, f"the rows of 'samples' differ; each must hold {width} numbers")
        raise Rejected(Reason.WRONG_AXES, f"rows of {width} axes are configured, found rows of another length")
    numbers = _flat(b"[" + text.translate(None, b"[]") + b"]")
    if numbers.size != count * width:
        raise Rejected(Reason.WRONG_LENGTH, f"each row of 'samples' must hold {width} numbers")
    return numbers.reshape(-1, width)
