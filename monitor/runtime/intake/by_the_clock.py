"""What the intake does by the clock, because no message comes that would cause it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from monitor.runtime.intake.ingest import Ingest

LOG = logging.getLogger(__name__)

PERIOD_S = 1.0
"""Seconds between two checks. Shorter: work for nothing. Longer: messages wait longer for one that does not come."""


class Publish(Protocol):
    """Sends a message to the broker."""

    def __call__(self, topic: str, payload: bytes, *, retain: bool) -> Awaitable[object]:
        """Send it."""


async def release(ingest: Ingest) -> None:
    """Release messages that have waited too long for an earlier one."""
    while True:
        await asyncio.sleep(PERIOD_S)
        ingest.release_overdue()


async def ask_nodes(ingest: Ingest, wall_s: Callable[[], float], publish: Publish) -> None:
    """Ask Sparkplug nodes for their births; ``wall_s`` returns UNIX seconds."""
    while True:
        await asyncio.sleep(PERIOD_S)
        for topic, payload in ingest.sparkplug.requests(wall_s()):
            LOG.info("births requested: topic=%s", topic)
            await publish(topic, payload, retain=False)
