"""Packets of any size, in pieces of any size, through the client's reading."""

import asyncio
import random
import socket
from typing import Any

import pytest

from monitor.runtime.intake.mqtt.direct_client import HEAD_BYTES, DirectClient

MAX_PAYLOAD = 1000


def packet(topic: str, payload: bytes, mid: int | None) -> bytes:
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + (b"" if mid is None else mid.to_bytes(2, "big")) + payload
    length, remaining = b"", len(body)
    while not length or length[-1] & 0x80:
        remaining, digit = divmod(remaining, 128)
        length += bytes([digit | (0x80 if remaining else 0)])
    return bytes([0x30 if mid is None else 0x32]) + length + body


@pytest.mark.parametrize("seed", range(20))
def test_what_is_too_large_keeps_its_length_and_costs_no_other_message(seed: int) -> None:
    rng = random.Random(seed)
    sizes = (0, 10, 1000, 5000, HEAD_BYTES, HEAD_BYTES + 1100, 300_000, 900_000)
    sent = [(f"plant/{number}", rng.randbytes(rng.choice(sizes)), rng.random() < 0.5) for number in range(20)]
    sent.append(("plant/last", b"", True))
    data = b"".join(packet(topic, payload, 1 + i if ack else None) for i, (topic, payload, ack) in enumerate(sent))
    got: list[tuple[str, bytes]] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for end in (ours, theirs):
                end.setblocking(False)
            client = DirectClient(lambda topic, payload, _: got.append((topic, payload)), MAX_PAYLOAD, hostname="x")
            paho: Any = client._client
            paho._sock = ours
            client._on_socket_open(paho, None, ours)
            at = 0
            while at < len(data):
                piece = data[at : at + rng.choice((1, 100, 5000, 2**17, 2**18))]
                at += len(piece)
                await loop.sock_sendall(theirs, piece)
            acknowledged = b""
            while len(got) < len(sent) or len(acknowledged) < 4 * sum(ack for _, _, ack in sent):
                acknowledged += await asyncio.wait_for(loop.sock_recv(theirs, 1000), 10)
            paho._sock_close()

    asyncio.run(story())
    assert [topic for topic, _ in got] == [topic for topic, _, _ in sent]
    assert [len(payload) for _, payload in got] == [len(payload) for _, payload, _ in sent]
    for (_, payload), (_, expected, _) in zip(got, sent, strict=True):
        taken = b"".join([payload])
        if len(expected) <= MAX_PAYLOAD + HEAD_BYTES - 100:
            assert taken == expected
        elif len(expected) >= 600_000:
            assert taken == b""
