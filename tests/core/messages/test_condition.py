import pytest

from monitor.core.messages.condition import LONGEST_NUMBER, LONGEST_OBJECT, condition_decoder
from monitor.core.messages.decode import Reason, Rejected

NUMBER = condition_decoder("number", None)
RPM = condition_decoder("json", "rpm")


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b"1480", 1480.0), (b" -1.5e3\r\n", -1500.0), (b"+.5", 0.5), (b"7.", 7.0), (b"0", 0.0), (b"1e-400", 0.0)],
)
def test_the_text_of_a_number(payload: bytes, value: float) -> None:
    assert NUMBER(payload) == value


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"rpm": 1480}', 1480.0),
        (b'\xef\xbb\xbf{"state": {"rpm": 1}, "rpm": -2.5, "t": [1, {}]}', -2.5),
        (b'{"rpm": 1, "rpm": 2}', 2.0),
    ],
)
def test_a_number_under_its_key(payload: bytes, value: float) -> None:
    assert RPM(payload) == value


@pytest.mark.parametrize(
    ("payload", "reason", "text"),
    [
        (b"", Reason.EMPTY, "the payload is empty"),
        (b" ", Reason.UNDECODABLE, "the text of one number is expected, such as 1480.5; found b''"),
        (b"fast", Reason.UNDECODABLE, "the text of one number is expected, such as 1480.5; found b'fast'"),
        (b"1480,5", Reason.UNDECODABLE, "found b'1480,5'"),
        (b"1_000", Reason.UNDECODABLE, "found b'1_000'"),
        (b"0x10", Reason.UNDECODABLE, "found b'0x10'"),
        (b"1 2", Reason.UNDECODABLE, "found b'1 2'"),
        ("\u0661".encode(), Reason.UNDECODABLE, r"found b'\xd9\xa1'"),
        (b"\x1b[2J", Reason.UNDECODABLE, r"found b'\x1b[2J'"),
        (b"NaN", Reason.NON_FINITE, "the value is b'NaN'"),
        (b"-inf", Reason.NON_FINITE, "the value is b'-inf'"),
        (b"Infinity", Reason.NON_FINITE, "the value is b'Infinity'"),
        (b"1e999", Reason.NON_FINITE, "NaN, infinite or beyond 1e+12"),
        (b"-1e12", Reason.NON_FINITE, "NaN, infinite or beyond 1e+12"),
        (b"1" * (LONGEST_NUMBER + 1), Reason.TOO_LARGE, "65 bytes; a measured quantity has at most 64"),
    ],
)
def test_a_text_that_is_no_value(payload: bytes, reason: Reason, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        NUMBER(payload)
    assert caught.value.reason is reason
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "reason", "text"),
    [
        (b"", Reason.EMPTY, "the payload is empty"),
        (b"{}", Reason.UNDECODABLE, "the object has no key 'rpm'"),
        (b'{"RPM": 1}', Reason.UNDECODABLE, "the object has no key 'rpm'"),
        (b"1480", Reason.UNDECODABLE, "not a JSON object with a number under 'rpm': Expected `object`, got `int`"),
        (b'[{"rpm": 1}]', Reason.UNDECODABLE, "Expected `object`, got `array`"),
        (b'{"rpm": "1480"}', Reason.UNDECODABLE, "Expected `float`, got `str`"),
        (b'{"rpm": true}', Reason.UNDECODABLE, "Expected `float`, got `bool`"),
        (b'{"rpm": null}', Reason.UNDECODABLE, "Expected `float`, got `null`"),
        (b'{"rpm": [1]}', Reason.UNDECODABLE, "Expected `float`, got `array`"),
        (b'{"rpm": 1', Reason.UNDECODABLE, "not a JSON object"),
        (b'{"rpm": 1} {', Reason.UNDECODABLE, "not a JSON object"),
        (b'\xff{"rpm": 1}', Reason.UNDECODABLE, "not a JSON object"),
        (b'{"a": ' + b"[" * 20_000, Reason.UNDECODABLE, "not a JSON object"),
        (b'{"rpm": NaN}', Reason.NON_FINITE, "NaN or Infinity, which JSON does not have"),
        (b'{"rpm": 1' + b"0" * 400 + b"}", Reason.UNDECODABLE, "Number out of range"),
        (b'{"rpm": -2e12}', Reason.NON_FINITE, "NaN, infinite or beyond 1e+12"),
        (b" " * LONGEST_OBJECT + b"1", Reason.TOO_LARGE, "65537 bytes; a measured quantity has at most 65536"),
    ],
)
def test_an_object_without_a_value(payload: bytes, reason: Reason, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        RPM(payload)
    assert (caught.value.reason, text in str(caught.value)) == (reason, True), str(caught.value)
