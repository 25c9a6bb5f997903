"""What a CBOR map may and may not contain besides its samples."""

import cbor2
import pytest

from monitor.core.messages.decode import Message, Reason, Rejected, decoder

SAMPLES = b"\x67samples\x82\x01\x02"


def decoded(payload: bytes) -> Message:
    return decoder("cbor", ("",), 1000.0)(payload)


@pytest.mark.parametrize(
    "payload",
    [
        cbor2.dumps({"samples": [1, 2], "t": 1.7e9, "seq": 5}),
        b"\xd9\xd9\xf7" + cbor2.dumps({"samples": [1, 2], "t": 1700000000, "seq": 5}),
        b"\xbf" + SAMPLES + b"\x61t\xfb" + bytes.fromhex("41d954fc40000000") + b"\x63seq\x05\xff",
        cbor2.dumps({"unit": "g", "at": cbor2.CBORTag(0, "2026"), "samples": [1, 2], "t": 1.7e9, "seq": 5}),
        cbor2.dumps({"a": [[1, {"b": [b"c", None, 1.5]}], 2**70], "samples": [1, 2], "t": 1.7e9, "seq": 5}),
        cbor2.dumps({1: 2, b"k": 3, None: 4, "x" * 300: 5, "samples": [1, 2], "t": 1.7e9, "seq": 5}),
        b"\xa4"
        b"\x7f\x61a\x61b\xff\x5f\x41a\xff"
        + SAMPLES
        + b"\x61t\xfb"
        + bytes.fromhex("41d954fc40000000")
        + b"\x63seq\x05",
    ],
)
def test_other_keys_are_skipped(payload: bytes) -> None:
    message = decoded(payload)
    assert (message.axes[""].tolist(), message.t, message.seq) == ([1, 2], 1.7e9, 5)


def test_what_is_null_is_not_there() -> None:
    message = decoded(b"\xa4" + SAMPLES + b"\x61t\xf6\x63seq\xf7\x62fs\xf9\x63\xd0")
    assert (message.t, message.seq) == (None, None)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (cbor2.dumps({"samples": [1, 2], "t": cbor2.CBORTag(1, 1.7e9)}), "'t' must be a number"),
        (cbor2.dumps({"samples": [1, 2], "seq": 1.0}), "'seq' must be an integer"),
        (cbor2.dumps({"samples": [1, 2], "seq": True}), "'seq' must be a number"),
        (cbor2.dumps({"samples": cbor2.CBORTag(28, [1])}), "list of numbers"),
        (cbor2.dumps({"samples": [cbor2.CBORTag(29, 0)]}), "list of numbers"),
        (cbor2.dumps({"samples": [2**64]}), "list of numbers"),
        (cbor2.dumps({"samples": [cbor2.undefined]}), "list of numbers"),
        (b"\xa2" + SAMPLES + SAMPLES, "'samples' twice"),
        (b"\xa1" + SAMPLES + b"\x00", "1 bytes follow"),
        (b"\xa2" + SAMPLES, "cut off"),
        (b"\xa2" + SAMPLES + b"\x61u\x5b" + b"\xff" * 8, "cut off"),
        (b"\xa2" + SAMPLES + b"\x61u\x1c", "no item begins with the byte 0x1c"),
        (b"\xa2" + SAMPLES + b"\x61u" + b"\xc1" * 40 + b"\x01", "nested more than 16 deep"),
        (cbor2.dumps({"u": [0] * 5000, "samples": [1]}), "more than 4096 items"),
        (cbor2.dumps({"u": 1}), "no 'samples'"),
        (b"\x01", "an object or an array is expected"),
    ],
)
def test_what_is_refused(payload: bytes, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        decoded(payload)
    assert text in str(caught.value)
    assert caught.value.reason in {Reason.UNDECODABLE, Reason.TOO_LARGE}
