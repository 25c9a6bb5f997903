import json

import cbor2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.messages.decode import FORMATS, Message, Reason, Rejected, decoder


def rejection(kind: str, payload: bytes, axes: tuple[str, ...] = ("",)) -> Reason:
    with pytest.raises(Rejected) as caught:
        decoder(kind, axes, 12000.0)(payload)
    return caught.value.reason


@pytest.mark.parametrize(("kind", "dtype"), [("float32", "<f4"), ("float64", "<f8"), ("int16", "<i2")])
def test_packed_samples(kind: str, dtype: str) -> None:
    samples = np.array([1, -2, 3, -4, 5, -6], dtype)
    assert decoder(kind, ("",), 12000.0)(samples.tobytes()).axes[""].tolist() == samples.tolist()
    two = decoder(kind, ("x", "y"), 12000.0)(samples.tobytes()).axes
    assert {axis: column.tolist() for axis, column in two.items()} == {"x": [1, 3, 5], "y": [-2, -4, -6]}


@pytest.mark.parametrize(
    ("kind", "payload", "axes", "reason"),
    [
        ("float32", b"", ("",), Reason.EMPTY),
        ("float32", b"12345", ("",), Reason.WRONG_LENGTH),
        ("float32", np.zeros(3, "<f4").tobytes(), ("x", "y"), Reason.WRONG_LENGTH),
        ("float32", np.array([1, np.nan], "<f4").tobytes(), ("",), Reason.NON_FINITE),
        ("float64", np.array([1, np.inf], "<f8").tobytes(), ("",), Reason.NON_FINITE),
        ("float64", np.array([1e30], "<f8").tobytes(), ("",), Reason.NON_FINITE),
        ("json", b"", ("",), Reason.EMPTY),
        ("json", b"\xff\xfe", ("",), Reason.UNDECODABLE),
        ("json", b"{", ("",), Reason.UNDECODABLE),
        ("json", b"[" * 100_000, ("",), Reason.UNDECODABLE),
        ("json", b"12", ("",), Reason.UNDECODABLE),
        ("json", b"{}", ("",), Reason.UNDECODABLE),
        ("json", b"[]", ("",), Reason.EMPTY),
        ("json", b'["a"]', ("",), Reason.UNDECODABLE),
        ("json", b"[true]", ("",), Reason.UNDECODABLE),
        ("json", b"[NaN]", ("",), Reason.NON_FINITE),
        ("json", b'{"samples": [1], "fs": 5}', ("",), Reason.WRONG_RATE),
        ("json", b'{"samples": [1], "seq": "1"}', ("",), Reason.UNDECODABLE),
        ("json", b'{"samples": [1], "t": true}', ("",), Reason.UNDECODABLE),
        ("json", b"[[1, 2], [3]]", ("x", "y"), Reason.WRONG_LENGTH),
        ("json", b"[[1, 2], [3, 4]]", ("x", "y", "z"), Reason.WRONG_AXES),
        ("json", b"[1, 2]", ("x", "y"), Reason.WRONG_AXES),
        ("json", b'{"samples": {"x": [1], "y": [1, 2]}}', ("",), Reason.WRONG_LENGTH),
        ("json", b'{"samples": {"x": [1]}}', ("x", "y"), Reason.WRONG_AXES),
        ("cbor", b"\xff", ("",), Reason.UNDECODABLE),
        ("msgpack", b"\xc1", ("",), Reason.UNDECODABLE),
        ("senml", b"[1]", ("",), Reason.UNDECODABLE),
    ],
)
def test_bad_payloads_have_their_reason(kind: str, payload: bytes, axes: tuple[str, ...], reason: Reason) -> None:
    assert rejection(kind, payload, axes) is reason


@pytest.mark.parametrize(
    "pack", [("json", lambda d: json.dumps(d).encode()), ("cbor", cbor2.dumps), ("msgpack", msgspec.msgpack.encode)]
)
def test_documents(pack: tuple[str, object]) -> None:
    kind, encode = pack
    assert callable(encode)
    message = decoder(kind, ("",), 12000.0)(encode({"samples": [1, 2.5], "t": 7.5, "seq": 3, "fs": 12000}))
    assert (message.axes[""].tolist(), message.t, message.seq) == ([1, 2.5], 7.5, 3)
    assert decoder(kind, ("",), 12000.0)(encode([1, 2])).axes[""].tolist() == [1, 2]
    rows = decoder(kind, ("x", "y"), 12000.0)(encode({"samples": [[1, 2], [3, 4]]})).axes
    assert {axis: column.tolist() for axis, column in rows.items()} == {"x": [1, 3], "y": [2, 4]}
    named = decoder(kind, ("",), 12000.0)(encode({"samples": {"x": [1], "y": [2]}})).axes
    assert {axis: column.tolist() for axis, column in named.items()} == {"x": [1], "y": [2]}


def senml(*records: dict[str, object], axes: tuple[str, ...] = ("",)) -> Message:
    return decoder("senml", axes, 12000.0)(json.dumps(records).encode())


def columns(message: Message) -> dict[str, list[float]]:
    return {axis: column.tolist() for axis, column in message.axes.items()}


def test_senml_records_of_one_name_become_one_axis() -> None:
    message = senml({"bn": "urn:dev:1/", "bt": 1.7e9, "n": "a", "v": 1.0}, {"n": "a", "t": 0.1, "v": 2.0})
    assert (columns(message), message.t) == ({"": [1.0, 2.0]}, 1.7e9)


def test_senml_base_fields_are_carried_on() -> None:
    message = senml(
        {"bn": "urn:dev:1/", "bt": 1.7e9, "bv": 10}, {"n": "a", "t": -1, "v": 1}, {"n": "a", "bv": 20, "v": 1}
    )
    assert (columns(message), message.t) == ({"": [11.0, 21.0]}, 1.7e9 - 1)


def test_a_relative_senml_time_is_no_time() -> None:
    assert senml({"n": "a", "t": -5, "v": 1}).t is None
    assert senml({"n": "a", "bt": 2**28 - 1, "v": 1}).t is None
    assert senml({"n": "a", "bt": 2**28, "v": 1}).t == 2**28


def test_senml_names_become_axes_by_their_ends() -> None:
    pack: list[dict[str, object]] = [
        {"bn": "urn:dev:1/", "n": "x", "v": 1},
        {"n": "y", "v": 2},
        {"n": "status", "vs": "ok"},
        {"n": "x", "v": 3},
        {"n": "y", "v": 4},
    ]
    assert columns(senml(*pack, axes=("y", "x"))) == {"x": [1.0, 3.0], "y": [2.0, 4.0]}


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        (("dev/x", "dev/y"), ("",)),  # two measurements are never one stream
        (("dev/x", "dev/temperature"), ("x", "y")),
        (("dev-1/x", "dev-2/x", "dev-1/y"), ("x", "y")),
        (("dev/x",), ("x", "y")),
        (("dev/max", "dev/y"), ("x", "y")),  # "max" does not end with the axis "x"
    ],
)
def test_senml_names_that_are_not_the_axes_are_refused(names: tuple[str, ...], axes: tuple[str, ...]) -> None:
    pack = [{"n": name, "v": 1.0} for name in names]
    assert rejection("senml", json.dumps(pack).encode(), axes) is Reason.WRONG_AXES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"t": 1.7e12', Reason.WRONG_TIME),
        ('"t": -1', Reason.WRONG_TIME),
        ('"t": 4102444800', Reason.WRONG_TIME),
        ('"seq": -1', Reason.UNDECODABLE),
        ('"seq": 9223372036854775808', Reason.UNDECODABLE),
        ('"seq": 1.0', Reason.UNDECODABLE),
        ('"fs": true', Reason.UNDECODABLE),
    ],
)
def test_figures_out_of_bounds(text: str, reason: Reason) -> None:
    assert rejection("json", f'{{"samples": [1], {text}}}'.encode()) is reason


def test_a_clock_that_is_not_set_is_no_time() -> None:
    message = decoder("json", ("",), 12000.0)(b'{"samples": [1], "t": 0, "seq": 9223372036854775807, "fs": null}')
    assert (message.t, message.seq) == (None, 2**63 - 1)


@pytest.mark.parametrize("name", ["", "a" * 65, "a\nb", "a\x1b[2J", "\u2028", "\u202e", "\x00", "\x7f"])
def test_axis_names_are_short_and_printable(name: str) -> None:
    payload = json.dumps({"samples": {name: [1]}}).encode()
    with pytest.raises(Rejected) as caught:
        decoder("json", ("",), 12000.0)(payload)
    assert caught.value.reason is Reason.WRONG_LABEL
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_long_text_is_decoded_in_pieces() -> None:
    values = [round(0.1 * i, 1) for i in range(30_000)]
    decode = decoder("json", ("",), 12000.0)
    assert columns(decode(json.dumps(values, indent=1).encode())) == {"": values}
    rows = [[i, i + 0.5] for i in range(20_000)]
    table = decoder("json", ("x", "y"), 12000.0)(json.dumps(rows).encode())
    assert columns(table) == {"x": [row[0] for row in rows], "y": [row[1] for row in rows]}
    pack: list[dict[str, object]] = [{"bn": "dev/", "n": "a", "v": 0.5}, *({"n": "a", "v": value} for value in values)]
    assert columns(senml(*pack)) == {"": [0.5, *values]}


@pytest.mark.parametrize("part", ['"1,2"', "[1]", "[[1]]", "true", "{}", "null", '"]"', '"[1],"', "[]"])
@pytest.mark.parametrize("at", [0, 12_000, 19_999])
def test_what_is_no_number_is_found_in_every_piece(part: str, at: int) -> None:
    for value in ("1", "[1]", "[1,2]"):
        parts = [value] * 20_000
        parts[at] = part if value == "1" or part.startswith("[") else f"[{part}]"
        if parts[at] == value:
            continue
        payload = f"[{','.join(parts)}]".encode()
        assert rejection("json", payload) in {Reason.UNDECODABLE, Reason.WRONG_LENGTH, Reason.WRONG_AXES}


@given(st.sampled_from(FORMATS), st.binary(max_size=200), st.sampled_from([("",), ("x", "y", "z")]))
def test_any_bytes_are_samples_or_a_reason(kind: str, payload: bytes, axes: tuple[str, ...]) -> None:
    try:
        message = decoder(kind, axes, 12000.0)(payload)
    except Rejected:
        return
    for column in message.axes.values():
        assert column.size
        assert np.isfinite(column.astype(np.float32)).all()
