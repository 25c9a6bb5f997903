"""Small encoders that write what a real one refuses: numbers of any size, any keys, invalid text, tags."""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pairs:
    """An object with keys in order, twice if need be."""

    pairs: tuple[tuple[object, object], ...]


@dataclass(frozen=True)
class Tag:
    """A tagged value of CBOR, an extension of MessagePack; in JSON the value."""

    number: int
    value: object


@dataclass(frozen=True)
class Written:
    """What stands for itself: text of JSON, and bytes of the other encodings."""

    text: str
    data: bytes


def encode_json(value: object) -> bytes:
    """JSON, with NaN and with numbers of any length."""
    return JSON[type(value)](value)


def _json_object(value: Pairs) -> bytes:
    entries = ((key if isinstance(key, str) else repr(key), item) for key, item in value.pairs)
    return b"{" + b",".join(json.dumps(key).encode() + b":" + encode_json(item) for key, item in entries) + b"}"


def _json_integer(value: int) -> bytes:
    return b"%d" % value if abs(value) < 2**70 else b"-" * (value < 0) + b"1" + b"0" * 400


JSON: dict[type, Callable[[Any], bytes]] = {
    Written: lambda value: value.text.encode(),
    Tag: lambda value: encode_json(value.value),
    Pairs: _json_object,
    list: lambda value: b"[" + b",".join(map(encode_json, value)) + b"]",
    bytes: lambda value: encode_json(value.hex()),
    int: _json_integer,
    **dict.fromkeys((str, float, bool, type(None)), lambda value: json.dumps(value).encode()),
}


def encode_cbor(value: object) -> bytes:
    """CBOR with the shortest floats; lists of an odd length that begin with a float are of unknown length."""
    return CBOR[type(value)](value)


def cbor_head(major: int, number: int) -> bytes:
    """The head of an item, as short as it can be."""
    if number < 24:
        return bytes([major << 5 | number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([major << 5 | 23 + size.bit_length()]) + number.to_bytes(size, "big")


def _cbor_list(value: list[object]) -> bytes:
    items = b"".join(map(encode_cbor, value))
    is_open = len(value) % 2 == 1 and isinstance(value[0], float)
    return b"\x9f" + items + b"\xff" if is_open else cbor_head(4, len(value)) + items


def _cbor_integer(value: int) -> bytes:
    plain = value if value >= 0 else -1 - value
    if plain < 2**64:
        return cbor_head(int(value < 0), plain)
    digits = plain.to_bytes(plain.bit_length() // 8 + 1, "big")
    return cbor_head(6, 2 + (value < 0)) + cbor_head(2, len(digits)) + digits


def _kept(code: str, value: float) -> bool:
    return bool(struct.unpack(code, struct.pack(code, value))[0] == value)


def _cbor_float(value: float) -> bytes:
    for head, code in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        if not math.isfinite(value) or (
            abs(value) < 60_000 and struct.unpack(code, struct.pack(code, value))[0] == value
        ):
            return head + struct.pack(code, value)
    return b"\xfb" + struct.pack(">d", value)


CBOR: dict[type, Callable[[Any], bytes]] = {
    Written: lambda value: value.data,
    Tag: lambda value: cbor_head(6, value.number) + encode_cbor(value.value),
    Pairs: lambda value: (
        cbor_head(5, len(value.pairs)) + b"".join(encode_cbor(part) for pair in value.pairs for part in pair)
    ),
    list: _cbor_list,
    str: lambda value: cbor_head(3, len(_utf8(value))) + _utf8(value),
    bytes: lambda value: cbor_head(2, len(value)) + value,
    int: _cbor_integer,
    float: _cbor_float,
    bool: lambda value: b"\xf5" if value else b"\xf4",
    type(None): lambda _: b"\xf6",
}


def encode_msgpack(value: object) -> bytes:
    """MessagePack; what it does not have becomes an extension or something near."""
    return MSGPACK[type(value)](value)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _msgpack_integer(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("b", value)
    for head, code, bits in ((b"\xd0", ">b", 7), (b"\xd1", ">h", 15), (b"\xd2", ">i", 31), (b"\xd3", ">q", 63)):
        if -(1 << bits) <= value < 1 << bits:
            return head + struct.pack(code, value)
    return b"\xcf" + struct.pack(">Q", value) if 0 < value < 2**64 else b"\xd7\xff" + bytes(8)


def _msgpack_float(value: float) -> bytes:
    single = not math.isfinite(value) or (abs(value) < 1e38 and value.is_integer())
    return b"\xca" + struct.pack(">f", value) if single else b"\xcb" + struct.pack(">d", value)


def _msgpack_extension(value: Tag) -> bytes:
    data = encode_msgpack(value.value)[:255]
    return b"\xc7" + bytes([len(data), value.number & 255]) + data


def _msgpack_sized(short: int, most: int, long: bytes, count: int) -> bytes:
    return bytes([short | count]) if count <= most else long + count.to_bytes(2, "big")


MSGPACK: dict[type, Callable[[Any], bytes]] = {
    Written: lambda value: value.data,
    Tag: _msgpack_extension,
    Pairs: lambda value: (
        _msgpack_sized(0x80, 15, b"\xde", len(value.pairs))
        + b"".join(encode_msgpack(part) for pair in value.pairs for part in pair)
    ),
    list: lambda value: _msgpack_sized(0x90, 15, b"\xdc", len(value)) + b"".join(map(encode_msgpack, value)),
    str: lambda value: _msgpack_sized(0xA0, 31, b"\xda", len(_utf8(value))) + _utf8(value),
    bytes: lambda value: b"\xc5" + len(value).to_bytes(2, "big") + value,
    int: _msgpack_integer,
    float: _msgpack_float,
    bool: lambda value: b"\xc3" if value else b"\xc2",
    type(None): lambda _: b"\xc0",
}

ENCODERS = {"json": encode_json, "cbor": encode_cbor, "msgpack": encode_msgpack}
