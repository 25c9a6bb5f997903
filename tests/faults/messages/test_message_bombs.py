"""A message costs at most eight times its size in memory and 50 ms a megabyte, however it is written.

The bombs go through ``Ingest.deliver`` in a process of bounded memory and processor time: what got through once took
gigabytes and minutes.
"""

import functools
import json
import resource
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

MEGABYTE = 2**20

MOST_MEMORY = 8
"""Bytes for each byte of a message, and a megabyte."""

MOST_S = 0.15
"""Seconds of processor time for each megabyte, and once more: three times what is promised, for a busy machine."""


def rows(count: int, unit: bytes, *, length: int = MEGABYTE, begin: bytes = b"\x9a") -> bytes:
    """An array in CBOR or MessagePack whose items, ``count`` in each ``unit``, fill a message."""
    units = length // len(unit)
    return begin + (units * count).to_bytes(4, "big") + unit * units


def text(unit: bytes, length: int = MEGABYTE) -> bytes:
    return b"[" + b",".join([unit] * (length // (len(unit) + 1))) + b"]"


def shared_lists(depth: int = 30) -> bytes:
    """A list of CBOR of twice a list of twice a list..., the second by reference: 2^depth numbers in 300 bytes."""
    lists = b"\x81\x01"
    for number in range(depth, 0, -1):
        lists = b"\x82\xd8\x1c" + lists + b"\xd8\x1d" + bytes([0x18, number - 1])[number <= 24 :]
    return b"\xa1\x67samples" + lists


def shared_rows() -> bytes:
    """A row of CBOR, and a thousand references to it."""
    return b"\xa1\x67samples\x99\x03\xe9\xd8\x1c" + rows(1, b"\x01", length=1000) + b"\xd8\x1d\x00" * 1000


def open_axes() -> bytes:
    """Many short axes of unknown length before a long one: each has room for all that could follow."""
    short = b"".join(b"\x62%02d\x9f\x01\x18\x20\xff" % number for number in range(63))
    return b"\xa1\x67samples\xbf" + short + b"\x61z\x9f" + b"\x01\x18\x20" * (MEGABYTE // 3) + b"\xff\xff"


def one_long(head: bytes, short: bytes, long: bytes) -> bytes:
    """An array of a thousand short strings and a long one."""
    return head + (1001).to_bytes(4, "big") + short * 1000 + long + MEGABYTE.to_bytes(4, "big") + b"a" * MEGABYTE


LONG = b'"' + b"a" * MEGABYTE + b'"'

BOMBS: dict[str, tuple[str, int, bytes]] = {
    "cbor: shared lists": ("cbor", 1, shared_lists()),
    "cbor: shared rows": ("cbor", 1, shared_rows()),
    "cbor: one long string among short ones": ("cbor", 1, one_long(b"\x9a", b"\x61a", b"\x7a")),
    "cbor: an array that announces 2^64 items": ("cbor", 1, b"\x9b" + b"\xff" * 8 + b"\x01"),
    "cbor: small integers": ("cbor", 1, rows(1, b"\x01")),
    "cbor: integers of two lengths": ("cbor", 1, rows(2, b"\x01\x18\x20")),
    "cbor: an open array": ("cbor", 1, b"\x9f" + b"\x01" * MEGABYTE + b"\xff"),
    "cbor: rows": ("cbor", 3, rows(1, b"\x83\x01\x02\x03")),
    "cbor: empty arrays": ("cbor", 1, rows(1, b"\x80")),
    "cbor: arrays in arrays": ("cbor", 1, b"\x81" * MEGABYTE),
    "cbor: arrays in another key": ("cbor", 1, b"\xa2\x61u" + b"\x81" * MEGABYTE),
    "cbor: empty arrays in another key": ("cbor", 1, b"\xa2\x61u" + rows(1, b"\x80") + b"\x67samples\x81\x01"),
    "cbor: many axes": ("cbor", 1, b"\xa1\x67samples\xbf" + b"\x61a\x81\x01" * (MEGABYTE // 4)),
    "cbor: open axes": ("cbor", 1, open_axes()),
    "cbor: half floats": ("cbor", 1, rows(1, b"\xf9\x01\x01")),
    "msgpack: one long string among short ones": ("msgpack", 1, one_long(b"\xdd", b"\xa1a", b"\xdb")),
    "msgpack: an array that announces 2^32 items": ("msgpack", 1, b"\xdd\xff\xff\xff\xff\x01"),
    "msgpack: small integers": ("msgpack", 1, rows(1, b"\x01", begin=b"\xdd")),
    "msgpack: rows": ("msgpack", 3, rows(1, b"\x93\x01\x02\x03", begin=b"\xdd")),
    "msgpack: empty arrays": ("msgpack", 1, rows(1, b"\x90", begin=b"\xdd")),
    "msgpack: arrays in arrays": ("msgpack", 1, b"\x91" * MEGABYTE),
    "msgpack: many axes": ("msgpack", 1, b"\x81\xa7samples\xdf\0\1\0\0" + b"\xa1a\x91\1" * 65536),
    "json: one long string among short ones": ("json", 1, b"[" + b'"a",' * 1000 + LONG + b"]"),
    "json: the same in rows": ("json", 3, b"[" + b'["a","a","a"],' * 1000 + b"[1,1," + LONG + b"]]"),
    "json: small integers": ("json", 1, text(b"1")),
    "json: rows": ("json", 3, text(b"[1,1,1]")),
    "json: empty rows": ("json", 1, text(b"[]")),
    "json: a number of a million digits": ("json", 1, b"[" + b"9" * MEGABYTE + b"]"),
    "json: arrays in arrays": ("json", 1, b"[" * MEGABYTE),
    "json: a string of commas": ("json", 1, b'["' + b"," * MEGABYTE + b'"]'),
    "json: many axes": ("json", 1, b'{"samples":{' + b",".join(b'"%d":[1]' % i for i in range(90_000)) + b"}}"),
    "json: a long name": ("json", 1, b'{"samples":{"\xf0\x9f\x98\x80' + b"a" * MEGABYTE + b'":[1]}}'),
    "senml: short records": ("senml", 1, text(b'{"v":1}')),
    "senml: empty records": ("senml", 1, text(b"{}")),
    "senml: names in turn": ("senml", 3, text(b'{"n":"x","v":1},{"n":"y","v":1},{"n":"z","v":1}')),
    "senml: a long base name": ("senml", 1, b'[{"bn":' + LONG + b"}," + text(b'{"n":"a","v":1},{"n":"b","v":1}')[1:]),
}  # fmt: skip


def explode(name: str) -> dict[str, object]:
    """Deliver one bomb: once for its time, once for its memory."""
    from monitor.config.configuration import Config
    from monitor.core.samples.rings import Rings
    from monitor.runtime.intake.ingest import Ingest

    kind, axes, payload = BOMBS[name]
    sensor: dict[str, object] = {"topic": "plant/{machine}", "payload": {"format": kind}, "sampling_rate_hz": 1000.0}
    if axes > 1:
        sensor["axes"] = ("x", "y", "z")[:axes]
    config = Config.model_validate({"sensors": [sensor], "limits": {"channels": 128}})
    ingest = Ingest(config, {"default": Rings(128, 64, 100)}, lambda _: None, time.monotonic)
    # What the first message of a format loads is not its cost.
    ingest.deliver("plant/pump", b"\x80")
    ingest.rejected.clear()
    began_s = time.thread_time()
    ingest.deliver("plant/fan", payload)
    took_s = time.thread_time() - began_s
    rejected = ingest.rejected.total()
    tracemalloc.start()
    ingest.deliver("plant/fan", payload)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    samples = sum(channel.samples_received for channel in ingest.channels.values())
    return {"took_s": took_s, "peak_bytes": peak_bytes, "rejected": rejected, "samples": samples}


def explode_all(kind: str) -> None:
    """Print what each bomb of a format did, a line each."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    for name in BOMBS:
        if name.startswith(kind):
            try:
                found = explode(name)
            except Exception as error:  # noqa: BLE001 - whatever gets through is what the test shows
                found = {"raised": f"{type(error).__name__}: {error}"[:200]}
            print(json.dumps({"name": name, **found}), flush=True)


@functools.cache
def findings(kind: str) -> dict[str, dict[str, Any]]:
    """What the bombs of a format did in a process of their own, by name; nothing of those that it did not survive."""
    command = [sys.executable, str(Path(__file__)), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(name: str) -> None:
    size = len(BOMBS[name][2])
    found = findings(BOMBS[name][0]).get(name)
    assert found is not None, "the process did not survive"
    assert "raised" not in found, found["raised"]
    assert found["peak_bytes"] <= MOST_MEMORY * size + MEGABYTE
    assert found["took_s"] <= MOST_S * (1 + size / 1e6)
    assert bool(found["samples"]) + found["rejected"] >= 1


if __name__ == "__main__":
    explode_all(sys.argv[1])
