"""CBOR (RFC 8949): a map with a few keys and arrays of numbers, decoded in place.

A general decoder creates an object for every item and resolves references, so a few hundred bytes can become gigabytes.
This one creates only the numbers that are needed. It skips other keys, tags included, and limits the number of items
that are not samples. Does not handle: tags among samples.
"""

from collections.abc import Iterator

import numpy as np

from monitor.core.arrays import Float64, Uint8
from monitor.core.messages.formats.document import MAX_AXES, MAX_AXIS_NAME, Document
from monitor.core.messages.formats.number_arrays import Encoding, read_numbers
from monitor.core.messages.rejection import Reason, Rejected

END = 0xFF
"""The "break" byte: ends an array, a map or a string of indefinite length."""

ENCODING = Encoding(
    numbers={
        0x18: ">u1", 0x19: ">u2", 0x1A: ">u4", 0x1B: ">u8",
        0x38: ">u1", 0x39: ">u2", 0x3A: ">u4", 0x3B: ">u8",
        0xF9: ">f2", 0xFA: ">f4", 0xFB: ">f8",
    },
    immediate={**{number: number for number in range(0x18)}, **{0x20 + n: -1 - n for n in range(0x18)}},
    short_arrays=range(0x80, 0x98),
    long_arrays={0x98: 1, 0x99: 2, 0x9A: 4, 0x9B: 8},
    negative=frozenset({0x38, 0x39, 0x3A, 0x3B}),
    open_array=0x9F,
    end=END,
)  # fmt: skip

MAX_ITEMS = 4096
"""Most items besides the samples: keys and values, nested ones included. Higher: a message blocks the event loop
longer, about a microsecond an item. Lower: documents with many other keys are rejected."""

MAX_DEPTH = 16
"""Deepest nesting of the values of other keys."""

LONGEST_KEY_BYTES = 4 * MAX_AXIS_NAME
"""A longer key cannot be one that is looked for; it is skipped undecoded."""

SELF_DESCRIBED = b"\xd9\xd9\xf7"
"""The self-described CBOR tag (RFC 8949, section 3.4.6), which may come first."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_OPEN = 31
_OPEN_BYTES, _OPEN_TEXT = 0x5F, 0x7F
_NOTHING = (0xF6, 0xF7)
_FLOATS = (0xF9, 0xFA, 0xFB)


def parse_cbor(payload: bytes, axes: tuple[str, ...]) -> Document:
    """Read a map with ``samples``, or a bare array.

    Raises:
        Rejected: with the reason.
        UnicodeDecodeError: a key is not UTF-8.
    """
    del axes
    reader = _Reader(payload, len(SELF_DESCRIBED) if payload.startswith(SELF_DESCRIBED) else 0)
    document = reader.document()
    if reader.at != len(payload):
        raise Rejected(Reason.UNDECODABLE, f"{len(payload) - reader.at} bytes follow the document")
    return document


class _Reader:
    """A position in a message that moves forward with every item read."""

    def __init__(self, payload: bytes, at: int) -> None:
        self.at = at
        self._payload = payload
        self._data: Uint8 = np.frombuffer(payload, np.uint8)
        self._items = 0

    def document(self) -> Document:
        """Read the map or the array at this position."""
        if self._head() >> 5 == _ARRAY:
            return Document(self._numbers())
        if self._head() >> 5 != _MAP:
            raise Rejected(Reason.UNDECODABLE, "an object or an array is expected")
        samples: Float64 | dict[str, Float64] | None = None
        numbers: dict[str, float | None] = {}
        for _ in self._entries():
            key = self._key()
            if key == "samples":
                if samples is not None:
                    raise Rejected(Reason.UNDECODABLE, "the object has 'samples' twice")
                samples = self._named() if self._head() >> 5 == _MAP else self._numbers()
            elif key in {"t", "seq", "fs"}:
                numbers[key] = self._number(key)
            else:
                self._skip()
        if samples is None:
            raise Rejected(Reason.UNDECODABLE, "the object has no 'samples'")
        seq = numbers.get("seq")
        if isinstance(seq, float):
            raise Rejected(Reason.UNDECODABLE, "'seq' must be an integer, found a float")
        return Document(samples, numbers.get("t"), seq, numbers.get("fs"))

    def _named(self) -> dict[str, Float64]:
        columns: dict[str, Float64] = {}
        for _ in self._entries():
            name = self._key()
            if name is None or len(columns) == MAX_AXES or name in columns:
                raise Rejected(Reason.WRONG_AXES, f"an object of 1 to {MAX_AXES} different axis names is expected")
            columns[name] = self._numbers()
        return columns

    def _numbers(self) -> Float64:
        numbers, self.at = read_numbers(ENCODING, self._data, self.at)
        return numbers

    def _key(self) -> str | None:
        """Read a key; None if it is not text or too long."""
        if self._head() >> 5 != _TEXT or self._head() == _OPEN_TEXT:
            self._skip()
            return None
        begin, end = self._string()
        return str(self._payload[begin:end], "utf-8") if end - begin <= LONGEST_KEY_BYTES else None

    def _number(self, key: str) -> float | None:
        """Read a number as float or int; None for null and undefined."""
        head = self._head()
        if head in _NOTHING:
            self.at += 1
            return None
        following = ENCODING.numbers.get(head)
        if head in _FLOATS and following is not None:
            begin, end = self._move(1, following.itemsize)
            return float(np.frombuffer(self._payload[begin:end], following)[0])
        if head >> 5 not in {_UNSIGNED, _NEGATIVE}:
            raise Rejected(Reason.UNDECODABLE, f"'{key}' must be a number")
        value = self._argument()
        return value if head >> 5 == _UNSIGNED else -1 - value

    def _skip(self, depth: int = 0) -> None:
        """Skip one item of any kind."""
        if depth > MAX_DEPTH:
            raise Rejected(Reason.UNDECODABLE, f"nested more than {MAX_DEPTH} deep")
        self._count()
        head = self._head()
        kind = head >> 5
        if kind in {_ARRAY, _MAP} or head in {_OPEN_BYTES, _OPEN_TEXT}:
            for _ in self._entries():
                self._skip(depth + 1)
                if kind == _MAP:
                    self._skip(depth + 1)
        elif kind in {_BYTES, _TEXT}:
            self._string()
        else:
            self._argument()
            if kind == _TAG:
                self._skip(depth + 1)

    def _entries(self) -> Iterator[None]:
        """Iterate over an array, a map or a chunked string: the caller reads one item (of a map: one pair) a turn."""
        left: int | None = None
        if self._head() & 31 == _OPEN:
            self.at += 1
        else:
            left = self._argument()
        while self._head() != END if left is None else left > 0:
            self._count()
            yield
            left = None if left is None else left - 1
        self.at += left is None

    def _count(self) -> None:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise Rejected(Reason.TOO_LARGE, f"more than {MAX_ITEMS} items besides the samples")

    def _string(self) -> tuple[int, int]:
        return self._move(0, self._argument())

    def _argument(self) -> int:
        """Read the argument of a head: a value, a length or a count."""
        size = self._head() & 31
        if size < 24:
            self.at += 1
            return size
        if size > 27:
            raise Rejected(Reason.UNDECODABLE, f"no item begins with the byte {self._head():#04x}")
        begin, end = self._move(1, 1 << (size - 24))
        return int.from_bytes(self._payload[begin:end], "big")

    def _head(self) -> int:
        if self.at >= len(self._payload):
            raise Rejected(Reason.UNDECODABLE, "the document is cut off")
        return self._payload[self.at]

    def _move(self, over: int, count: int) -> tuple[int, int]:
        """Skip ``over`` bytes and take ``count`` more; return where those begin and end."""
        begin = self.at + over
        if count > len(self._payload) - begin:
            raise Rejected(Reason.UNDECODABLE, "the document is cut off")
        self.at = begin + count
        return begin, self.at
