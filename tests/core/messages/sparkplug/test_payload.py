import json

import numpy as np
import pytest

from monitor.core.messages.rejection import Reason, Rejected
from monitor.core.messages.sparkplug.payload import MAX_FIELDS, Metric, parse_payload, rebirth_request, samples_of
from monitor.core.messages.sparkplug.schema import Datatype
from tests.support.programs import ROOT
from tests.support.sparkplug_node import BYTES, FLOAT_ARRAY, metric, number_field, payload

NUMBERS = {"int8": -5, "int16": -300, "int32": -70000, "int64": -5000000000, "uint8": 250, "uint16": 65000,
           "uint32": 4000000000, "uint64": 5000000000, "float": 0.5, "double": -0.1}  # fmt: skip
ARRAYS = {
    "int8": [-128, 0, 127], "int16": [-32768, 1, 32767], "int32": [-2147483648, 2, 2147483647], "int64": [-3, 0, 4],
    "uint8": [0, 200, 255], "uint16": [0, 40000, 65535], "uint32": [0, 3, 4294967295], "uint64": [0, 5, 6],
    "float": [-0.5, 0.25, 1.5], "double": [-0.1, 0.2, 1e6],
}  # fmt: skip
"""What the golden messages hold: see their README."""


def golden(encoder: str, name: str) -> bytes:
    messages = json.loads((ROOT / f"tests/golden/sparkplug/{encoder}.json").read_text())
    return bytes.fromhex(next(message["payload"] for message in messages if message["name"] == name))


def only(*fields: bytes) -> Metric:
    (found,) = parse_payload(payload(fields)).metrics
    return found


def rejection(*fields: bytes, packing: str = "") -> Reason:
    found = only(*fields)
    with pytest.raises(Rejected) as rejected:
        samples_of(found, found.datatype, packing)
    assert str(rejected.value).isprintable()
    return rejected.value.reason


def test_arrays_of_every_type_from_another_encoder() -> None:
    read = parse_payload(golden("pysparkplug", "arrays by name and type"))
    assert read.seq == 6
    found = {found.name: samples_of(found, found.datatype, "").tolist() for found in read.metrics}
    assert found == {f"array/{kind}": values for kind, values in ARRAYS.items()}
    assert {found.t for found in read.metrics} == {1_764_000_000.0}


@pytest.mark.parametrize("encoder", ["mqtt_spb_wrapper", "pysparkplug"])
def test_numbers_of_every_type_from_other_encoders(encoder: str) -> None:
    births = parse_payload(golden(encoder, "birth of the device")).metrics
    names = {birth.alias: (birth.name, birth.datatype) for birth in births}
    found = {}
    for each in parse_payload(golden(encoder, "numbers by alias")).metrics:
        name, datatype = names[each.alias]
        found[name] = samples_of(each, datatype, "").tolist()
    assert found == {f"number/{kind}": [value] for kind, value in NUMBERS.items()}


def test_bytes_are_packed_as_configured() -> None:
    raw = parse_payload(golden("pysparkplug", "bytes and others by alias")).metrics[0]
    assert samples_of(raw, Datatype.BYTES, "<i2").tolist() == [1, -2]
    with pytest.raises(Rejected, match="say how its samples are packed"):
        samples_of(raw, Datatype.BYTES, "")


def test_a_request_for_births_is_what_another_encoder_writes() -> None:
    assert rebirth_request(1_764_000_000.0) == golden("pysparkplug", "request for births")


def test_what_a_metric_says_of_itself() -> None:
    historical, null = parse_payload(golden("pysparkplug", "historical and null")).metrics
    assert (historical.historical, historical.null, historical.alias, historical.name) == (True, False, 108, None)
    assert (null.historical, null.null, null.datatype) == (False, True, 0)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (metric("x", b"", datatype=FLOAT_ARRAY), Reason.EMPTY),
        (metric("x", b"12345", datatype=FLOAT_ARRAY), Reason.WRONG_LENGTH),
        (metric("x", np.array([1, np.nan], "<f4"), datatype=FLOAT_ARRAY), Reason.NON_FINITE),
        (metric("x", np.array([1, 1e13], "<f8"), datatype=31), Reason.NON_FINITE),
        (metric("x", np.array([1, 2**62], "<u8"), datatype=29), Reason.NON_FINITE),
        (metric("x", 1e13, datatype=9), Reason.NON_FINITE),
        (metric("x", 1.0, datatype=FLOAT_ARRAY), Reason.UNDECODABLE),
        (metric("x", 1.0, datatype=3), Reason.UNDECODABLE),
        (metric("x", b"1234", datatype=10), Reason.UNDECODABLE),
        (metric("x", "text", datatype=12), Reason.UNDECODABLE),
        (metric("x", bytes(2**23), datatype=22), Reason.TOO_LARGE),
    ],
)
def test_values_that_cannot_be_samples(given: bytes, reason: Reason) -> None:
    assert rejection(given) is reason


def test_bytes_of_a_wrong_length() -> None:
    assert rejection(metric("x", b"123", datatype=BYTES), packing="<i2") is Reason.WRONG_LENGTH


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x12\x00" * (MAX_FIELDS + 1), Reason.TOO_LARGE),
        (number_field(7, 1) * (MAX_FIELDS + 1), Reason.TOO_LARGE),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Reason.UNDECODABLE),
        (b"\x12\x05a", Reason.UNDECODABLE),
        (b"\x12\x04\x0a\x02\xff\xfe", Reason.UNDECODABLE),
        (b"\x13" * 2000, Reason.UNDECODABLE),
        (b'{"samples": [1, 2]}', Reason.UNDECODABLE),
    ],
)
def test_payloads_that_are_none(data: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as rejected:
        parse_payload(data)
    assert rejected.value.reason is reason
    assert str(rejected.value).isprintable()


def test_as_many_metrics_as_are_allowed() -> None:
    assert len(parse_payload(b"\x12\x00" * MAX_FIELDS).metrics) == MAX_FIELDS
