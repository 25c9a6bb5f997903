"""Arrays of numbers in CBOR and MessagePack, compared with general encoders and a simple reference decoder."""

import struct

import cbor2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.messages.decode import Message, Reason, Rejected, decoder
from monitor.core.messages.formats import number_arrays

INTEGERS = st.one_of(st.integers(-40, 300), st.integers(-(2**33), 2**33))
FLOATS = st.floats(-1e10, 1e10)
NUMBERS = st.one_of(INTEGERS, FLOATS, FLOATS.map(lambda value: struct.unpack("<f", struct.pack("<f", value))[0]))
COLUMNS = st.one_of(st.lists(INTEGERS, min_size=1), st.lists(FLOATS, min_size=1), st.lists(NUMBERS, min_size=1))


def head(major: int, count: int) -> bytes:
    """The shortest CBOR head for a value."""
    return (
        cbor2.dumps(count)[:1].translate(bytes((byte & 31) | major << 5 for byte in range(256)))
        + cbor2.dumps(count)[1:]
    )


def cbor(value: object, *, open_ended: int = 0) -> bytes:
    """CBOR with the shortest floats; arrays nested less deep than ``open_ended`` have indefinite length."""
    if isinstance(value, list):
        items = b"".join(cbor(item, open_ended=open_ended - 1) for item in value)
        return b"\x9f" + items + b"\xff" if open_ended > 0 else head(4, len(value)) + items
    number: bytes = cbor2.dumps(value, canonical=True)
    return number


def decoded(kind: str, payload: bytes, axes: tuple[str, ...] = ("",)) -> Message:
    return decoder(kind, axes, 1000.0)(payload)


@given(COLUMNS, st.integers(0, 1))
def test_a_list_of_any_numbers(values: list[float], open_ended: int) -> None:
    expected = [float(value) for value in values]
    assert decoded("cbor", cbor(values, open_ended=open_ended)).axes[""].tolist() == expected
    assert decoded("msgpack", msgspec.msgpack.encode(values)).axes[""].tolist() == expected


@given(st.integers(1, 40), COLUMNS, st.integers(0, 2))
def test_rows_of_any_numbers(width: int, values: list[float], open_ended: int) -> None:
    rows = [[*values, *([0.5] * width)][:width], *([value] * width for value in values)]
    axes = tuple(f"axis-{i}" for i in range(width))
    expected = {axis: [float(row[i]) for row in rows] for i, axis in enumerate(axes)}
    for kind, payload in (("cbor", cbor(rows, open_ended=open_ended)), ("msgpack", msgspec.msgpack.encode(rows))):
        assert {axis: column.tolist() for axis, column in decoded(kind, payload, axes).axes.items()} == expected


@pytest.mark.parametrize("kind", ["cbor", "msgpack"])
def test_arrays_of_many_windows(kind: str) -> None:
    rng = np.random.default_rng(1)
    integers: list[float] = (rng.normal(size=18_000) * 10.0 ** rng.integers(0, 9, 18_000)).astype(int).tolist()
    floats: list[float] = rng.normal(size=18_000).tolist()
    mixed = [value for pair in zip(integers, floats, strict=True) for value in pair]
    for values in (integers, floats, mixed):
        assert decoded(kind, encoded(kind, values)).axes[""].tolist() == values
        rows = [values[i : i + 3] for i in range(0, 18_000, 3)]
        table = decoded(kind, encoded(kind, rows), ("x", "y", "z")).axes
        assert [column.tolist() for column in table.values()] == [values[i:18_000:3] for i in range(3)]
        if kind == "cbor":
            assert decoded(kind, cbor(values, open_ended=1)).axes[""].tolist() == values
            table = decoded(kind, cbor(rows, open_ended=2), ("x", "y", "z")).axes
            assert [column.tolist() for column in table.values()] == [values[i:18_000:3] for i in range(3)]


def encoded(kind: str, value: object) -> bytes:
    return cbor(value) if kind == "cbor" else msgspec.msgpack.encode(value)


def arrays_with(kind: str, good: object, wrong: object, at: int, count: int) -> list[bytes]:
    """Arrays of ``count`` items with a single invalid one; for CBOR with definite and indefinite length."""
    begin = encoded(kind, good) * at + encoded(kind, wrong) + encoded(kind, good) * (count - at - 1)
    if kind == "msgpack":
        return [b"\xdd" + count.to_bytes(4, "big") + begin]
    return [head(4, count) + begin, b"\x9f" + begin + b"\xff"]


@pytest.mark.parametrize("wrong", ["1", None, True, b"1", {}, [], [1], [[1]], [1, "1"], [1, 2, 3]])
@pytest.mark.parametrize("at", [0, 15_000, 29_999])
@pytest.mark.parametrize("kind", ["cbor", "msgpack"])
def test_what_is_no_number_is_found_everywhere(kind: str, at: int, wrong: object) -> None:
    for number in (1, 1000, 1.1):
        for good, axes in ((number, ("",)), ([number, number], ("x", "y"))):
            for payload in arrays_with(kind, good, wrong, at, 30_000):
                with pytest.raises(Rejected) as caught:
                    decoded(kind, payload, axes)
                assert caught.value.reason in {Reason.UNDECODABLE, Reason.WRONG_LENGTH, Reason.WRONG_AXES}


@pytest.mark.parametrize("kind", ["cbor", "msgpack"])
def test_every_cut_is_refused(kind: str) -> None:
    for values, axes in (([1, 1000, -70_000, 0.1], ("",)), ([[1, 1000], [0.5, 2]], ("x", "y")), ([0.1, 0.2], ("",))):
        payloads = [encoded(kind, values)] + ([cbor(values, open_ended=2)] if kind == "cbor" else [])
        for payload in payloads:
            for size in range(1, len(payload)):
                with pytest.raises(Rejected):
                    decoded(kind, payload[:size], axes)


def test_an_array_that_announces_more_than_there_is_allocates_nothing() -> None:
    for payload in (b"\x9b" + b"\x7f" * 8 + b"\x01", b"\x9a\x00\x40\x00\x01" + b"\x01" * (2**22 + 1)):
        with pytest.raises(Rejected):
            decoded("cbor", payload)


@given(st.binary(min_size=1, max_size=300))
def test_places_are_where_a_loop_finds_them(window: bytes) -> None:
    from monitor.core.messages.formats.cbor import ENCODING

    expected, at = [], 0
    while at < len(window):
        expected.append(at)
        at += int(ENCODING.length[window[at]])
    assert number_arrays._places(ENCODING, np.frombuffer(window, np.uint8)).tolist() == expected
