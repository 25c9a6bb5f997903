"""What Python's garbage collector has to look at, in a process whose objects nearly all stay.

A full collection looks at every object: 0.14 s with 10,000 channels and 0.5 s with 50,000, in which no message is
taken. So what stays is taken out of its sight (*frozen*): everything at the start, and whenever many channels have
come. What is frozen is still freed as soon as nothing refers to it; only circles that form later among it are not
found.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Never

YOUNG_OBJECTS = 10_000
"""New objects after which the collector looks at them. Fewer: where thousands of channels come at once, that takes a
third of the time until they are there. More: garbage in circles, which is rare here, waits longer."""

PERIOD_S = 1.0
"""Seconds between two looks at the number of channels. Longer: a full collection comes in between."""

NEW_CHANNELS = 500
"""New channels after which what there is is frozen. Fewer: more often, a few milliseconds each time. More: full
collections take longer, 9 ms for a thousand channels."""


def settle() -> None:
    """Freeze what there is, at the end of the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


async def keep_small(channels: Callable[[], int]) -> Never:
    """Freeze what there is whenever many channels have come, until cancelled; ``channels`` returns their number."""
    frozen = channels()
    while True:
        await asyncio.sleep(PERIOD_S)
        count = channels()
        if count >= frozen + NEW_CHANNELS:
            gc.collect(1)  # what was just made and is garbage already
            gc.freeze()
            frozen = count
        frozen = min(frozen, count)
