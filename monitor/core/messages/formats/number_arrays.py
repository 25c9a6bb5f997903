"""Arrays of numbers in CBOR and MessagePack, decoded to float64 without a Python object per number.

Both formats write a number as a head byte, which gives its size, and the bytes that follow. Almost always all numbers
of an array have the same head, and NumPy reads them as records. Where heads differ, the position of a number depends on
all numbers before it; :func:`_places` finds them by pointer doubling. Memory is eight bytes a number plus a constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float64, Numbers, Rows, Uint8
from monitor.core.messages.formats.document import MAX_AXES, require_room
from monitor.core.messages.rejection import Reason, Rejected

WINDOW_BYTES = 2**13
"""Bytes searched for numbers at once. Larger: more memory, about 60 bytes per byte. Smaller: more NumPy calls."""

DOUBLINGS = 4
"""How often NumPy doubles a jump of one item. A Python loop then steps in jumps of 16 items. Higher: more work in
NumPy. Lower: a longer loop."""


class Encoding:
    """How a format encodes numbers and arrays, by head byte."""

    def __init__(
        self,
        numbers: Mapping[int, str],
        immediate: Mapping[int, int],
        short_arrays: range,
        long_arrays: Mapping[int, int],
        negative: frozenset[int] = frozenset(),
        open_array: int | None = None,
        end: int | None = None,
    ) -> None:
        """Describe a format.

        Args:
            numbers: head to the NumPy type of the bytes after it.
            immediate: head to the number that the head itself encodes.
            short_arrays: heads of arrays of 0, 1, 2, ... items.
            long_arrays: head of an array to the size in bytes of its number of items, which follows.
            negative: heads whose number n means -1 - n.
            open_array: head of an array of indefinite length, if the format has it.
            end: byte that ends such an array.
        """
        self.numbers = {head: np.dtype(code) for head, code in numbers.items()}
        self.short_arrays = short_arrays
        self.long_arrays = long_arrays
        self.open_array = open_array
        self.end = end
        # A number is the value after its head, times a sign, plus a shift.
        self.sign = np.ones(256)
        self.shift = np.zeros(256)
        self.sign[sorted(negative)] = self.shift[sorted(negative)] = -1.0
        self.number_heads = {*numbers, *immediate}
        self.negative = negative
        self.length = np.ones(256, np.intp)
        for head, value in immediate.items():
            self.shift[head] = value
        self.types = []
        for dtype in dict.fromkeys(self.numbers.values()):
            heads = [head for head, other in self.numbers.items() if other == dtype]
            marked = np.zeros(256, bool)
            marked[heads] = True
            self.types.append((dtype, heads, marked))
        for head, dtype in self.numbers.items():
            self.length[head] += dtype.itemsize
        for head, following in long_arrays.items():
            self.length[head] += following

    def array(self, data: Uint8, at: int) -> tuple[int | None, int] | None:
        """Number of items (None: until ``end``) of the array at ``at``, and the position of its first item.

        Returns:
            None if there is no array at ``at``.
        """
        head = int(data[at]) if at < data.size else -1
        if head in self.short_arrays:
            return head - self.short_arrays.start, at + 1
        if head == self.open_array:
            return None, at + 1
        following = self.long_arrays.get(head)
        if following is None or at + following >= data.size:
            return None
        return int.from_bytes(data[at + 1 : at + 1 + following].tobytes(), "big"), at + 1 + following

    def values(self, head: int, following: Numbers) -> Float64:
        """Decode numbers of one head from the values after it, (n,)."""
        values = following.astype(np.float64)
        if self.sign[head] < 0:
            np.subtract(-1.0, values, out=values)
        return values


@dataclass(frozen=True, slots=True)
class _Rows:
    """How the rows of an array are encoded; a flat list has rows of one number without a head."""

    head: bytes = b""
    """Bytes before the numbers of a row."""
    numbers: int = 1
    """Numbers in a row."""
    closed: bool = False
    """Whether a row ends with the end byte."""

    @property
    def items(self) -> int:
        return bool(self.head) + self.numbers + self.closed

    def shaped(self, numbers: Float64) -> Float64:
        return numbers.reshape(-1, self.numbers) if self.head else numbers


def read_numbers(encoding: Encoding, data: Uint8, at: int) -> tuple[Float64, int]:
    """Read an array of numbers or of rows of numbers.

    Args:
        encoding: the format.
        data: (bytes,) the message.
        at: position of the array.

    Returns:
        (n,) or (n, numbers in a row), and the position after the array.

    Raises:
        Rejected: it is not an array, is cut off or too large, or holds something other than numbers.
    """
    head = encoding.array(data, at)
    if head is None:
        raise Rejected(Reason.UNDECODABLE, "an axis must be a list of numbers")
    count, at = head
    if count is not None and count > data.size - at:
        raise _cut_off()
    if count == 0 or at >= data.size or (count is None and data[at] == encoding.end):
        return np.empty(0), at + (count is None)
    rows = _first_row(encoding, data, at)
    if count is not None:
        require_room(count * rows.numbers)
        if count * rows.items > data.size - at:
            raise _cut_off()
    alike = _alike(encoding, data, at, count, rows)
    return _scattered(encoding, data, at, count, rows) if alike is None else alike


def _cut_off() -> Rejected:
    return Rejected(Reason.UNDECODABLE, "an array is cut off: it announces more than the message holds")


def _first_row(encoding: Encoding, data: Uint8, at: int) -> _Rows:
    head = encoding.array(data, at)
    if head is None:
        return _Rows()
    count, first = head
    closed = count is None
    if count is None:
        # The end byte of the row must come within the size of ``MAX_AXES`` numbers.
        limit = min(first + MAX_AXES * int(encoding.length.max()) + 1, data.size)
        places = _places(encoding, data[first:limit])
        ends = np.flatnonzero(data[first:limit][places] == encoding.end)
        count = int(ends[0]) if ends.size else MAX_AXES + 1
    if not 0 < count <= MAX_AXES:
        raise Rejected(Reason.WRONG_AXES, f"the rows of 'samples' must hold 1 to {MAX_AXES} numbers")
    return _Rows(data[at:first].tobytes(), count, closed)


def _alike(encoding: Encoding, data: Uint8, at: int, count: int | None, rows: _Rows) -> tuple[Float64, int] | None:
    """Decode numbers that all have the same head, the usual case; None if heads differ."""
    head = int(data[min(at + len(rows.head), data.size - 1)])
    following = encoding.numbers.get(head)
    if following is None:
        return None
    number = np.dtype([("head", "u1"), ("value", following)])
    parts: list[tuple[object, ...]] = [("numbers", number, (rows.numbers,))]
    if rows.head:
        parts.insert(0, ("head", "u1", (len(rows.head),)))
    if rows.closed:
        parts.append(("end", "u1"))
    row = np.dtype(parts)
    there = (data.size - at) // row.itemsize
    if count is not None and count > there:
        return None
    table = data[at : at + (there if count is None else count) * row.itemsize].view(row)
    same = (table["numbers"]["head"] == head).all(axis=1)
    if rows.head:
        same &= (table["head"] == np.frombuffer(rows.head, np.uint8)).all(axis=1)
    if rows.closed:
        same &= table["end"] == encoding.end
    if count is None:
        count = table.size if same.all() else int(same.argmin())
        behind = at + count * row.itemsize
        if behind >= data.size or data[behind] != encoding.end:
            return None
        table = table[:count]
        return rows.shaped(encoding.values(head, table["numbers"]["value"]).ravel()), behind + 1
    if not same.all():
        return None
    return rows.shaped(encoding.values(head, table["numbers"]["value"]).ravel()), at + table.nbytes


def _scattered(encoding: Encoding, data: Uint8, at: int, count: int | None, rows: _Rows) -> tuple[Float64, int]:
    """Decode numbers with different heads, a window of bytes at a time."""
    wanted = None if count is None else count * rows.items
    samples = np.empty(data.size - at if count is None else count * rows.numbers)
    filled = done = 0
    while wanted is None or done < wanted:
        window = data[at : at + WINDOW_BYTES]
        if not window.size:
            raise _cut_off()
        places = _places(encoding, window)
        heads = window.take(places)
        if wanted is None:
            ends = np.flatnonzero(heads == encoding.end)
            ends = ends[(done + ends) % rows.items == 0]
            wanted = done + int(ends[0]) if ends.size else None
        if wanted is not None:
            places, heads = places[: wanted - done], heads[: wanted - done]
            if not places.size:
                break
        behind = int(places[-1]) + int(encoding.length[heads[-1]])
        if behind > data.size - at:
            raise _cut_off()
        if rows.head:
            numbers = _inside_rows(encoding, data[at:], places, heads, done, rows)
            new = _values(encoding, data[at:], places[numbers], heads[numbers])
        else:
            new = _values(encoding, data[at:], places, heads)
        samples[filled : filled + new.size] = new
        filled += new.size
        done += places.size
        at += behind
    # For an array of indefinite length the largest possible number of items was allocated; release the rest.
    samples.resize(filled, refcheck=False)
    return rows.shaped(samples), at + (count is None)


def _inside_rows(encoding: Encoding, data: Uint8, places: Rows, heads: Uint8, done: int, rows: _Rows) -> Bool:
    """Which items are numbers in rows, (n,). Every row must start and end as the first one does."""
    inside = np.ones(places.size, bool)
    turn = slice(-done % rows.items, None, rows.items)
    inside[turn] = False
    same = True
    for i, byte in enumerate(rows.head):
        same &= bool((data.take(places[turn] + i, mode="clip") == byte).all())
    if rows.closed:
        turn = slice(-(done + 1) % rows.items, None, rows.items)
        inside[turn] = False
        same &= bool((heads[turn] == encoding.end).all())
    if not same:
        raise Rejected(Reason.WRONG_LENGTH, "the rows of 'samples' differ in length, or are no rows of numbers")
    return inside


def _places(encoding: Encoding, window: Uint8) -> Rows:
    """Start positions of the items in a window that begins with an item, (n,)."""
    size = window.size
    # Positions after the window map to themselves.
    jump = np.arange(size + int(encoding.length.max()))
    jump[:size] += encoding.length.take(window)
    jumps = [jump]
    for _ in range(DOUBLINGS):
        jumps.append(jumps[-1].take(jumps[-1], mode="clip"))
    farthest = jumps.pop().data
    hops, at = [], 0
    while at < size:
        hops.append(at)
        at = farthest[at]
    places = np.array(hops, np.intp)
    for further in reversed(jumps):
        both = np.empty((places.size, 2), np.intp)
        both[:, 0] = places
        both[:, 1] = further.take(places, mode="clip")
        places = both.ravel()
    return places[: int(np.searchsorted(places, size))]


def _values(encoding: Encoding, data: Uint8, places: Rows, heads: Uint8) -> Float64:
    """Decode the numbers at ``places``, (n,); all their bytes must be present."""
    present = set(np.flatnonzero(np.bincount(heads)).tolist())
    if not present <= encoding.number_heads:
        raise Rejected(Reason.UNDECODABLE, "an axis must be a list of numbers, or rows of numbers of one length")
    values = encoding.shift.take(heads)
    for following, of_type, marked in encoding.types:
        if not present.isdisjoint(of_type):
            chosen = np.flatnonzero(marked.take(heads))
            # A view of the number that would start at each byte; only the wanted ones are copied.
            anywhere = np.ndarray((data.size - following.itemsize,), following, data, 1, (1,))
            numbers = anywhere[places[chosen]].astype(np.float64)
            if not present.isdisjoint(encoding.negative):
                numbers *= encoding.sign.take(heads[chosen])
            values[chosen] += numbers
    return values
