"""Messages that overtake each other or come twice: the samples in the ring are those of the stream as it was sent."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.configuration import Config
from monitor.core.messages.order.continuity import EARLY_MESSAGES
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.ingest import Ingest

RATE_HZ = 1000.0
CONFIG = Config.model_validate(
    {
        "sensors": [{"topic": "plant/{machine}/{axis}", "payload": {"format": "json"}, "sampling_rate_hz": RATE_HZ}],
        "limits": {"channels": 1},
    }
)


@st.composite
def journeys(draw: st.DrawFn) -> list[int]:
    """The order in which numbered messages arrive: each at most a few places from its own, some of them twice."""
    count = draw(st.integers(1, 40))
    late = draw(st.lists(st.integers(0, EARLY_MESSAGES), min_size=count, max_size=count))
    order = sorted(range(1, count), key=lambda number: (number + late[number], number))
    for number in draw(st.lists(st.integers(0, count - 1), max_size=6)):
        after = order.index(number) + 1 if number else 0
        order.insert(draw(st.integers(after, min(len(order), after + 5))), number)
    return [0, *order]


@settings(max_examples=150, deadline=None)
@given(journeys(), st.sampled_from(["seq", "t", "both"]))
def test_swaps_and_duplicates_leave_the_samples_as_they_were_sent(order: list[int], keys: str) -> None:
    rings = Rings(CONFIG.limits.channels, 200, 5)
    ingest = Ingest(CONFIG, {"default": rings}, lambda _: None, lambda: 100.0)
    samples = np.random.default_rng(1).normal(size=(max(order) + 1, 10))
    for number in order:
        message: dict[str, object] = {"samples": samples[number].tolist()}
        if keys != "t":
            message["seq"] = number
        if keys != "seq":
            message["t"] = 1.7e9 + number * 10 / RATE_HZ
        ingest.deliver("plant/fan/x", json.dumps(message).encode())
    row = ingest.channels["fan", "x"].row
    start, found = rings.recent(row, samples.size)
    assert start == 0
    assert found.tolist() == samples.astype(np.float32).ravel().tolist()
