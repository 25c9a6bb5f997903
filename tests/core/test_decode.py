import json

import cbor2
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.decode import FORMATS, Reason, Rejected, decoder


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
    "pack", [("json", lambda d: json.dumps(d).encode()), ("cbor", cbor2.dumps), ("msgpack", msgpack.packb)]
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


def test_senml_records_become_one_axis() -> None:
    records = [{"bn": "urn:dev:1/", "bt": 100.0, "n": "a", "v": 1.0}, {"n": "a", "t": 0.1, "v": 2.0}]
    message = decoder("senml", ("",), 12000.0)(json.dumps(records).encode())
    assert (message.axes[""].tolist(), message.t) == ([1.0, 2.0], 100.0)


@given(st.sampled_from(FORMATS), st.binary(max_size=200), st.sampled_from([("",), ("x", "y", "z")]))
def test_any_bytes_are_samples_or_a_reason(kind: str, payload: bytes, axes: tuple[str, ...]) -> None:
    try:
        message = decoder(kind, axes, 12000.0)(payload)
    except Rejected:
        return
    for column in message.axes.values():
        assert column.size
        assert np.isfinite(column.astype(np.float32)).all()
