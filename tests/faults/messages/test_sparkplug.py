"""Whatever a Sparkplug message holds, it is samples, a counted rejection, or nothing that a sensor wants."""

import json
import logging
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from monitor.config.configuration import Config
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.ingest import Ingest
from tests.faults.messages.test_documents import Lines
from tests.faults.messages.test_message_bombs import MEGABYTE, MOST_MEMORY, MOST_S
from tests.support.programs import ROOT
from tests.support.sparkplug_node import bytes_field, metric, number_field, payload

CHANNELS = 64
EXAMPLES = 4000
DEVICE = "spBv1.0/plant/DDATA/gateway-1/fan-1"


def plant(most: int = CHANNELS) -> tuple[Ingest, Rings]:
    sensors = [
        {"topic": topic, "payload": {"format": "sparkplug", "bytes": "int16"}, "sampling_rate_hz": 1000.0}
        for topic in ("spBv1.0/{group}/DDATA/{node}/{device}/{kind}/{metric}", "spBv1.0/{group}/NDATA/{node}/{metric}")
    ]
    document = {"sensors": sensors, "limits": {"channels": most}, "mqtt": {"sparkplug": {"rebirth": True}}}
    rings = Rings(most, 64, 10)
    return Ingest(Config.model_validate(document), {"default": rings}, lambda _: None, time.monotonic), rings


def golden() -> list[tuple[str, bytes]]:
    files = [ROOT / f"tests/golden/sparkplug/{encoder}.json" for encoder in ("pysparkplug", "mqtt_spb_wrapper")]
    messages = [message for file in files for message in json.loads(file.read_text())]
    return [(message["topic"], bytes.fromhex(message["payload"])) for message in messages]


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A payload with some bytes changed, removed, doubled, or replaced by those of another one."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, length = rng.randrange(len(out) + 1), rng.randrange(1, 9)
        kind = rng.randrange(6)
        if kind == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[at : at + length]
        elif kind == 3:
            out[at:at] = rng.choice((b"\xff" * 9, b"\x00", b"\x12\x00" * 20, b"\x80\x00", b"\xef\xbf\xbd"))
        elif kind == 4:
            out[at:] = other[at:]
        elif out and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


def hostile_topic(rng: random.Random, topic: str) -> str:
    levels = topic.split("/")
    if rng.random() < 0.3:
        levels[2] = rng.choice(("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH", "NCMD"))
    if rng.random() < 0.3:
        levels[3] = rng.choice((f"gateway-{rng.randrange(400)}", "gate\u202eway", "g" * 200, "", "\ud800"))
    if rng.random() < 0.2:
        levels = levels[: rng.randrange(len(levels) + 1)]
    return "/".join(levels)


def test_mutated_messages_of_other_encoders_are_samples_or_counted() -> None:
    ingest, rings = plant()
    messages = golden()
    rng = random.Random(20)
    totals: Counter[str] = Counter()
    lines, logger = Lines(), logging.getLogger("monitor")
    logger.addHandler(lines)
    try:
        for number in range(EXAMPLES):
            topic, data = messages[number // 5 % len(messages)]
            received = sum(channel.samples_received for channel in ingest.channels.values())
            rejected = ingest.rejected.total()
            began_s = time.thread_time()
            if number % 5:
                topic, data = rng.choice(messages)
                topic, data = hostile_topic(rng, topic), mutated(rng, data, rng.choice(messages)[1])
            ingest.deliver(topic, data)
            assert time.thread_time() - began_s < 0.5
            totals["used"] += sum(channel.samples_received for channel in ingest.channels.values()) > received
            totals["rejected"] += ingest.rejected.total() > rejected
            if number % 50 == 0:
                while (due := rings.take()) is not None:
                    assert np.isfinite(due.samples).all()
    finally:
        logger.removeHandler(lines)
    assert not ingest._errors.counts
    assert totals["used"] > EXAMPLES / 40
    assert totals["rejected"] > EXAMPLES / 20
    assert len(ingest.channels) <= CHANNELS
    assert all(label.isprintable() and len(label) <= 128 for labels in ingest.channels for label in labels)
    nodes = ingest.sparkplug._nodes
    assert nodes is not None
    known = list(nodes._nodes.values())
    assert sum(len(device.types) for node in known for device in node.devices.values()) <= CHANNELS
    assert nodes._metrics == sum(len(device.types) for node in known for device in node.devices.values())
    assert nodes._devices == sum(device.born for node in known for device in node.devices.values())
    assert len(nodes.rebirths._next_s) <= CHANNELS


def test_good_metrics_go_on_after_all_that() -> None:
    ingest, _ = plant(1000)
    rng = random.Random(21)
    messages = golden()
    for _ in range(500):
        topic, data = rng.choice(messages)
        ingest.deliver(topic, mutated(rng, data, rng.choice(messages)[1]))
    before = sum(channel.samples_received for channel in ingest.channels.values())
    for topic, data in messages[2:7]:  # births, and data of the node and of its device
        ingest.deliver(topic.replace("gateway-1", "gateway-9"), data)
    assert sum(channel.samples_received for channel in ingest.channels.values()) == before + 1 + 30 + 10


def bombs() -> Iterator[tuple[str, str, bytes]]:
    """Name, topic and payload of what could take much memory or time."""
    names = b"".join(
        bytes_field(2, metric(f"a/{number}", alias=number, datatype=30, value=b"")) for number in range(50_000)
    )
    yield "a birth of fifty thousand metrics", DEVICE.replace("DDATA", "DBIRTH"), names
    yield "empty metrics", DEVICE, b"\x12\x00" * (MEGABYTE // 2)
    yield "metrics in an unknown field", DEVICE, bytes_field(9, b"\x12\x00" * (MEGABYTE // 2))
    yield "unknown fields of a metric", DEVICE, bytes_field(2, number_field(30, 1) * (MEGABYTE // 3))
    nested = b""
    while len(nested) < MEGABYTE // 4:
        nested = bytes_field(9, nested + bytes_field(2, bytes_field(9, b""))) * 2
    yield "properties in properties", DEVICE, bytes_field(2, metric("a/x", 1.0, datatype=9) + nested)
    rows = b"".join(bytes_field(4, bytes_field(1, number_field(1, 1))) for _ in range(100_000))
    yield "a data set of many rows", DEVICE, bytes_field(2, metric("a/x", datatype=16) + bytes_field(17, rows))
    yield "groups in groups", DEVICE, bytes_field(2, b"\xf3\x01" * 100_000)
    yield "one value again and again", DEVICE, bytes_field(2, b"\x65\x00\x00\x80\x3f" * (MEGABYTE // 5))
    many = b"".join(bytes_field(2, metric("a/x", 1.0, datatype=9)) for _ in range(8000))
    yield "one metric eight thousand times", DEVICE, many
    yield "a million small integers", DEVICE, payload([metric("a/x", bytes(MEGABYTE), datatype=22)])


def explode() -> None:
    """Print what each bomb did, a line each; memory is what the process takes, since protobuf has its own."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
    for name, topic, data in bombs():
        ingest, _ = plant()
        ingest.deliver(DEVICE, b"")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = peak_bytes()
        began_s = time.thread_time()
        ingest.deliver(topic, data)
        took_s = time.thread_time() - began_s
        found = {"name": name, "took_s": took_s, "grew_bytes": peak_bytes() - before, "size": len(data)}
        print(json.dumps({**found, "errors": sum(ingest._errors.counts.values())}), flush=True)


def peak_bytes() -> int:
    """The most memory that the process had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_a_bomb_costs_little() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.messages.test_sparkplug"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(list(bombs()))
    for each in found:
        assert not each["errors"], each
        assert each["took_s"] <= MOST_S * (1 + each["size"] / 1e6), each
        assert each["grew_bytes"] <= MOST_MEMORY * each["size"] + 4 * MEGABYTE, each


if __name__ == "__main__":
    explode()
