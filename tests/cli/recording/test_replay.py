"""What ``replay`` refuses, and how it goes on at the end."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.feed.replay import Replay, ReplayPlan
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from tests.support.commands import invoke


@pytest.mark.parametrize("topic", ["plant/+/de", "plant/#", "", "a\0b", "x" * 70_000])
def test_a_topic_that_no_message_can_have_is_a_usage_error(tmp_path: Path, topic: str) -> None:
    result = invoke("replay", tmp_path / "fan.npz", "--topic", topic)
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: Invalid value for '--topic': ")
    assert last.endswith("is no topic that a message can have; give one without wildcards, such as plant/fan-1/de/x")


class Sent:
    """Stands for a connected client."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    async def publish(self, topic: str, payload: bytes, **_: Any) -> None:
        assert topic == "a"
        self.payloads.append(payload)


def replayed(file: Path, **plan: Any) -> tuple[Replay, list[bytes]]:
    made = ReplayPlan("a", speed=float("inf"), message_samples=10, **plan)
    replay, sent = Replay(open_recording(str(file)), made), Sent()
    asyncio.run(replay.run(sent))  # type: ignore[arg-type]
    return replay, sent.payloads


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fan.npz"
    write_recording(path, np.arange(25, dtype=np.float32), 100.0, "g")
    return path


def test_it_ends_with_the_recording(file: Path) -> None:
    replay, payloads = replayed(file)
    assert np.frombuffer(b"".join(payloads), "<f4").tolist() == list(range(25))
    assert (replay.done.samples, replay.done.messages) == (25, 3)


def test_in_a_loop_it_begins_again_and_time_goes_on(file: Path) -> None:
    replay, payloads = replayed(file, loop=True, duration_s=0.7, payload_format="json")
    messages: list[Mapping[str, Any]] = [json.loads(payload) for payload in payloads]
    samples = [value for message in messages for value in message["samples"]]
    assert samples == [*range(25), *range(25), *range(25)][: len(samples)]
    assert len(samples) == replay.done.samples == 70
    begins_s = np.array([message["t"] for message in messages])
    lengths = [len(message["samples"]) / 100.0 for message in messages]
    assert np.diff(begins_s) == pytest.approx(lengths[:-1], abs=1e-5)
