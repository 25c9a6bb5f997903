"""Whatever a message holds, it is samples in the ring or one counted rejection, at a bounded cost.

``tests/benchmarks/fuzz.py`` sends as many documents as one wants.
"""

import logging
import math
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt import publish

from monitor.config.configuration import Config
from monitor.core.messages.condition import ConditionDecoder, condition_decoder
from monitor.core.messages.decode import ONE_STREAM, Reason, Rejected
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.ingest import Ingest
from tests.faults.messages import hostile_documents as hostile
from tests.faults.messages import hostile_encoders
from tests.faults.messages.test_message_bombs import BOMBS, MEGABYTE, MOST_MEMORY, MOST_S
from tests.support.daemons import running_daemon
from tests.support.servers import mosquitto, wait_for

LONGEST_S = 0.5
"""Processor time of a message of a few kilobytes; it takes less than a millisecond where nothing else runs. Of this
thread: threads that an earlier test left do not count."""


class Plant:
    """An ingest that takes every format, for sensors of one and of three axes."""

    def __init__(self) -> None:
        sensors = [
            {"topic": f"{kind}/{count}/{{machine}}", "payload": {"format": kind}, "sampling_rate_hz": 1000.0}
            | ({"axes": axes} if count > 1 else {})
            for kind in ONE_STREAM
            for count, axes in hostile.AXES.items()
        ]
        config = Config.model_validate({"sensors": sensors, "limits": {"channels": 256}})
        self.rings = Rings(256, 32, 100)
        self.ingest = Ingest(config, {"default": self.rings}, lambda _: None, time.monotonic)
        self.reasons: Counter[Reason] = Counter()
        self.used = 0

    def deliver(self, topic: str, payload: bytes) -> bool:
        """Send one message; whether its samples were used."""
        ingest = self.ingest
        rejected, received = ingest.rejected.copy(), self.received()
        began_s = time.thread_time()
        ingest.deliver(topic, payload)
        assert time.thread_time() - began_s < LONGEST_S
        refused = ingest.rejected - rejected
        used = self.received() - received
        self.reasons += refused
        self.used += used > 0
        assert refused.total() + (used > 0) == 1, (refused, used)
        return used > 0

    def received(self) -> int:
        return sum(channel.samples_received for channel in self.ingest.channels.values())

    def require_plain(self) -> None:
        """What is in the rings is finite, and every label is fit to be shown."""
        while (due := self.rings.take()) is not None:
            assert np.isfinite(due.samples).all()
        for labels in self.ingest.channels:
            assert all(label.isprintable() and len(label) <= 128 for label in labels)


def payloads(document: object, pack: object, packed: bytes, damage: hostile.Damage) -> Iterator[tuple[str, bytes]]:
    """Every encoding of them, whole and damaged."""
    written = [(kind, encode(document)) for kind, encode in hostile_encoders.ENCODERS.items()]
    written += [("senml", hostile_encoders.encode_json(pack)), ("json", hostile_encoders.encode_json(pack))]
    for kind, payload in written:
        yield kind, payload
        yield kind, hostile.damaged(payload, damage)
    for kind in ("float32", "float64", "int16"):
        yield kind, packed


class Lines(logging.Handler):
    """Requires of every line of the log that it is one, and not long; a traceback means an error that got through."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        assert text.isprintable()
        assert len(text) < 1000
        assert record.exc_info is None or record.exc_info[1] is None, record.exc_info


EXAMPLE = (
    hostile.documents(),
    hostile.packs(),
    st.one_of(st.binary(max_size=64), st.binary(min_size=24, max_size=24)),
    hostile.DAMAGES,
)


def send_all(document: object, pack: object, packed: bytes, damage: hostile.Damage, totals: Counter[str]) -> None:
    """One example: every payload to a channel of its own, and all of a kind once more to one channel."""
    plant = Plant()
    for number, (kind, payload) in enumerate(payloads(document, pack, packed, damage)):
        for count in hostile.AXES:
            plant.deliver(f"{kind}/{count}/{kind}-{count}-{number}", payload)
            plant.ingest.deliver(f"{kind}/{count}/{kind}-{count}", payload)
    plant.require_plain()
    totals["documents"] += plant.ingest.messages
    totals["used"] += plant.used
    totals.update({str(reason): count for reason, count in plant.reasons.items()})


def test_documents_of_every_kind_are_samples_or_one_rejection() -> None:
    totals: Counter[str] = Counter()

    @settings(max_examples=400, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(*EXAMPLE)
    def examples(document: object, pack: object, packed: bytes, damage: hostile.Damage) -> None:
        send_all(document, pack, packed, damage, totals)

    lines = Lines()
    logger = logging.getLogger("monitor")
    logger.addHandler(lines)
    try:
        examples()
    finally:
        logger.removeHandler(lines)
    assert totals["documents"] >= 20_000
    # All kinds of documents were among them.
    assert totals["used"] > 500
    assert all(totals[reason] for reason in (Reason.UNDECODABLE, Reason.EMPTY, Reason.WRONG_AXES, Reason.WRONG_TIME))


def value_or_reason(decode: ConditionDecoder, payload: bytes) -> str:
    try:
        value = decode(payload)
    except Rejected as error:
        rejected = error
    else:
        assert math.isfinite(value)
        return "used"
    assert str(rejected).isprintable()
    assert len(str(rejected)) < 1000
    return rejected.reason


def test_documents_of_every_kind_are_a_value_or_one_rejection() -> None:
    """The payloads of measured quantities: the same documents, the quantity under a key that they often have."""
    totals: Counter[str] = Counter()
    decoders = [condition_decoder("number", None), *(condition_decoder("json", key) for key in ("samples", "t", "x"))]

    @settings(max_examples=400, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(*EXAMPLE, st.one_of(hostile.NUMBERS, hostile.SCALARS))
    def examples(document: object, pack: object, packed: bytes, damage: hostile.Damage, value: object) -> None:
        text = hostile_encoders.encode_json(hostile_encoders.Pairs((("t", value), ("x", document))))
        more = [text, hostile.damaged(text, damage), hostile_encoders.encode_json(value)]
        for payload in [*(payload for _, payload in payloads(document, pack, packed, damage)), *more]:
            for decode in decoders:
                totals[value_or_reason(decode, payload)] += 1

    examples()
    assert totals["used"] > 300
    assert all(totals[reason] for reason in (Reason.UNDECODABLE, Reason.EMPTY, Reason.NON_FINITE, Reason.TOO_LARGE))


INSTANTS = st.one_of(
    st.integers(-2, 2**63), st.floats(), st.sampled_from([0, 1.7e9, 1.7e9 + 1, 1.7e12, 1.7e18, 4e9, 1e308])
)
NUMBERS = st.one_of(st.integers(-2, 300), st.sampled_from([2**31, 2**32, 2**53, 2**63 - 1, 2**63, 10**19, 10**400]))
STREAM = st.lists(st.tuples(INSTANTS, NUMBERS, st.sampled_from(["t", "seq", "t seq", ""])), min_size=2, max_size=12)


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(STREAM)
def test_no_order_of_times_and_numbers_gets_through(stream: list[tuple[float, int, str]]) -> None:
    plant = Plant()
    for t, seq, keys in stream:
        fields = {"t": t, "seq": seq}
        pairs = (("samples", [1.0]), *((key, fields[key]) for key in keys.split()))
        for kind, encode in hostile_encoders.ENCODERS.items():
            plant.ingest.deliver(f"{kind}/1/{kind}", encode(hostile_encoders.Pairs(pairs)))
    plant.require_plain()
    assert not plant.ingest._errors.counts


REPEATED_BYTES = 2**17


def repeated(parts: list[object]) -> Iterator[tuple[str, bytes]]:
    """Arrays in every encoding that hold the same few things again and again, as samples and under another key."""
    for kind, encode in hostile_encoders.ENCODERS.items():
        written = [encode(part) for part in parts]
        comma, end = (b",", b"]") if kind == "json" else (b"", b"")
        unit = comma.join(written)
        times = max(1, REPEATED_BYTES // (len(unit) + 1))
        count = (times * len(parts)).to_bytes(4, "big")
        begin = {"json": b"[", "cbor": b"\x9a" + count, "msgpack": b"\xdd" + count}[kind]
        array = begin + comma.join([unit] * times) + end
        yield kind, array
        for key in ("samples", "other"):
            pairs = ((key, hostile_encoders.Written("@", b"@")), ("samples", [1]))[: 1 + (key == "other")]
            before, after = encode(hostile_encoders.Pairs(pairs)).split(b"@")
            yield kind, before + array + after
        if kind == "json":
            yield "senml", array


@settings(max_examples=20, derandomize=True, deadline=None, database=None)
@given(st.lists(st.one_of(hostile.ANYTHING, st.lists(hostile.SANE, min_size=3, max_size=3)), min_size=1, max_size=3))
def test_whatever_fills_a_message_costs_in_proportion(parts: list[object]) -> None:
    plant = Plant()
    for number, (kind, payload) in enumerate(repeated(parts)):
        for count in hostile.AXES:
            began_s = time.thread_time()
            plant.ingest.deliver(f"{kind}/{count}/{kind}-{count}-{number}", payload)
            assert time.thread_time() - began_s < MOST_S * (1 + len(payload) / 1e6)
            tracemalloc.start()
            plant.ingest.deliver(f"{kind}/{count}/{kind}-{count}-{number}", payload)
            peak_bytes = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak_bytes < MOST_MEMORY * len(payload) + MEGABYTE
    assert not plant.ingest._errors.counts


ENDED_THE_DAEMON = {
    "milliseconds": [b'{"samples":[1],"t":1.7e9}', b'{"samples":[1],"t":1.7e18}'],
    "a number of 20 digits": [b'{"samples":[1],"seq":1}', b'{"samples":[1],"seq":10000000000000000000}'],
    "a time of 401 digits": [b'{"samples":[1],"t":1' + b"0" * 400 + b"}"],
    "a rate of 401 digits": [b'{"samples":[1],"fs":1' + b"0" * 400 + b"}"],
    "a number in a row of 401 digits": [b"[[1" + b"0" * 400 + b"]]"],
}


@pytest.mark.parametrize("name", ENDED_THE_DAEMON)
def test_a_message_that_ended_the_daemon(name: str) -> None:
    plant = Plant()
    for payload in ENDED_THE_DAEMON[name]:
        plant.deliver("json/1/fan", payload)
    assert plant.ingest.rejected.total() == 1


@pytest.mark.parametrize("base_time", [b"1" + b"0" * 400, b'"now"', b"1e308", b"[]", b"-1e400"])
def test_a_base_time_that_ended_the_daemon(base_time: bytes) -> None:
    plant = Plant()
    plant.deliver("senml/1/fan", b'[{"bn":"a","bt":1.7e9,"v":1}]')
    plant.deliver("senml/1/fan", b'[{"bn":"a","bt":' + base_time + b',"t":1e308,"v":1}]')
    assert plant.ingest.rejected.total() == 1


@pytest.mark.parametrize(
    "value",
    [
        hostile_encoders.Pairs((("samples", [1, 10**30]),)),
        hostile_encoders.Pairs((("samples", [1]), ("t", 10**400))),
        hostile_encoders.Pairs((("samples", hostile_encoders.Pairs((("x", [1]), (1, [1]), (b"y", [1])))),)),
        hostile_encoders.Pairs((("samples", [[1, 10**30]]),)),
    ],
)
def test_a_document_of_cbor_that_ended_the_daemon(value: object) -> None:
    for count in hostile.AXES:
        plant = Plant()
        assert not plant.deliver(f"cbor/{count}/fan", hostile_encoders.encode_cbor(value))


@pytest.mark.parametrize("name", [name for name in hostile.HOSTILE_NAMES if not name.isprintable() or len(name) > 64])
def test_an_axis_name_that_cost_the_page_or_forged_a_line(name: str) -> None:
    plant = Plant()
    document = hostile_encoders.Pairs((("samples", hostile_encoders.Pairs(((name, [1]),))),))
    for kind, encode in hostile_encoders.ENCODERS.items():
        assert not plant.deliver(f"{kind}/1/fan", encode(document))
    assert not plant.ingest.channels


@pytest.mark.system
def test_the_daemon_outlives_every_one_of_them(tmp_path: Path) -> None:
    sensors = [
        {"topic": f"{kind}/{{machine}}", "payload": {"format": kind}, "sampling_rate_hz": 12000} for kind in ONE_STREAM
    ]
    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker, f"sensors: {sensors}\n") as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        hostile_messages = [(kind, payload) for kind, _, payload in BOMBS.values()]
        hostile_messages += [("json", payload) for payloads in ENDED_THE_DAEMON.values() for payload in payloads]
        for name in hostile.HOSTILE_NAMES:
            document = hostile_encoders.Pairs((("samples", hostile_encoders.Pairs(((name, [1]),))),))
            hostile_messages += [(kind, encode(document)) for kind, encode in hostile_encoders.ENCODERS.items()]
        messages: list[Any] = [{"topic": f"{kind}/hostile", "payload": payload} for kind, payload in hostile_messages]
        messages.append({"topic": "float32/fan", "payload": np.zeros(1000, "<f4").tobytes()})
        publish.multiple(messages, port=broker, hostname="127.0.0.1")
        wait_for(lambda: daemon.value("vibration_samples_received_total", machine="fan") == 1000, "the good message")
        assert daemon.process.poll() is None
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
        rejected = sum(daemon.values("vibration_messages_rejected_total"))
        assert rejected > len(messages) / 2
        assert "Traceback" not in daemon.log.read_text()
