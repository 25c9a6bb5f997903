"""MessagePack: msgspec checks types, :mod:`monitor.core.messages.formats.number_arrays` decodes arrays of numbers."""

import msgspec
import numpy as np

from monitor.core.arrays import Float64, Uint8
from monitor.core.messages.formats.document import MAX_AXES, Document
from monitor.core.messages.formats.json_document import Fields
from monitor.core.messages.formats.number_arrays import Encoding, read_numbers
from monitor.core.messages.rejection import Reason, Rejected

ENCODING = Encoding(
    numbers={
        0xCA: ">f4", 0xCB: ">f8",
        0xCC: ">u1", 0xCD: ">u2", 0xCE: ">u4", 0xCF: ">u8",
        0xD0: ">i1", 0xD1: ">i2", 0xD2: ">i4", 0xD3: ">i8",
    },
    immediate={**{number: number for number in range(0x80)}, **{0x100 + number: number for number in range(-32, 0)}},
    short_arrays=range(0x90, 0xA0),
    long_arrays={0xDC: 2, 0xDD: 4},
)  # fmt: skip

_FIELDS = msgspec.msgpack.Decoder(Fields)
_NUMBERS = msgspec.msgpack.Decoder(list[float])
_NAMED = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
SMALL_BYTES = 2**14
"""Up to this size msgspec decodes a flat list, at 40 bytes a number. Higher: more memory. Lower: short lists of numbers
of mixed length decode more slowly."""

_MAP_COUNT = {0xDE: 2, 0xDF: 4}
"""Head byte of a large map to the size in bytes of its number of keys."""


def parse_msgpack(payload: bytes, axes: tuple[str, ...]) -> Document:
    """Read a map with ``samples``, or a bare array.

    Raises:
        Rejected: with the reason.
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: not such a document.
    """
    del axes
    data = np.frombuffer(payload, np.uint8)
    if ENCODING.array(data, 0):
        return Document(_numbers(data))
    fields = _FIELDS.decode(payload)
    return Document(_samples(fields.samples), fields.t, fields.seq, fields.fs)


def _samples(raw: msgspec.Raw) -> Float64 | dict[str, Float64]:
    data = np.frombuffer(raw, np.uint8)
    head = int(data[0])
    count = 0
    if head in _MAP_COUNT:
        count = int.from_bytes(data[1 : 1 + _MAP_COUNT[head]].tobytes(), "big")
    elif not 0x80 <= head < 0x90:
        return _numbers(data)
    if count > MAX_AXES:
        raise Rejected(Reason.WRONG_AXES, f"an object of 1 to {MAX_AXES} named axes is expected, found {count}")
    return {name: _numbers(np.frombuffer(values, np.uint8)) for name, values in _NAMED.decode(raw).items()}


def _numbers(data: Uint8) -> Float64:
    array = ENCODING.array(data, 0)
    if data.size <= SMALL_BYTES and array and not ENCODING.array(data, array[1]):
        numbers = _NUMBERS.decode(data.data)
        return np.fromiter(numbers, np.float64, len(numbers))
    table, behind = read_numbers(ENCODING, data, 0)
    if behind != data.size:
        raise Rejected(Reason.UNDECODABLE, f"{data.size - behind} bytes follow the array")
    return table
