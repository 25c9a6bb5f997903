"""What stays is out of the garbage collector's sight, also what comes later."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from monitor.runtime.processes import garbage


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_channels_are_frozen_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "PERIOD_S", 0.001)
    channels: list[list[object]] = []
    garbage.settle()
    assert gc.get_threshold()[0] == garbage.YOUNG_OBJECTS

    async def looks() -> None:
        await asyncio.sleep(0.05)

    async def story() -> list[int]:
        task = asyncio.create_task(garbage.keep_small(lambda: len(channels)))
        await looks()
        counts = [gc.get_freeze_count()]
        for count in (garbage.NEW_CHANNELS - 1, 1, 10 * garbage.NEW_CHANNELS):
            channels.extend([[]] for _ in range(count))
            await looks()
            counts.append(gc.get_freeze_count())
        del channels[garbage.NEW_CHANNELS :]  # they are forgotten, and others come
        await looks()
        channels.extend([[]] for _ in range(garbage.NEW_CHANNELS))
        await looks()
        counts.append(gc.get_freeze_count())
        task.cancel()
        return counts

    first, few, enough, many, again = asyncio.run(story())
    assert few == first
    assert enough > first + garbage.NEW_CHANNELS
    assert many > enough + 10 * garbage.NEW_CHANNELS
    assert again < many - 5 * garbage.NEW_CHANNELS, "what is frozen is freed"
    assert again > enough + garbage.NEW_CHANNELS
