"""Channels that do not send: known from an earlier run, expected by the configuration, or gone for good.

A sensor that died is what a monitor must not forget, so a channel that is known stays, silent, until it has sent
nothing for ``scoring.forget_after``, or the configuration has no sensor for its topic any more.
"""

import logging
from collections.abc import Iterable

from monitor.config import Config, Sensor
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.state.memory import Memory

LOG = logging.getLogger(__name__)


def bring_back(ingest: Ingest, memory: Memory, config: Config, now_s: float) -> None:
    """Make the channels of an earlier run, silent since their last samples, and those that are expected.

    Those whose topic no sensor of the configuration matches stay in the memory, in case that is a mistake.
    """
    expected = _expected(config.sensors)
    back = 0
    for known in memory.waiting():
        last_sample_s = memory.monotonic_s(known)
        if now_s - last_sample_s > config.scoring.forget_after and (known.topic, known.axis) not in expected:
            continue
        channel = ingest.adopt(known.topic, known.axis)
        if channel is not None:
            channel.last_sample_s = last_sample_s
            back += 1
    if back:
        LOG.info("channels that have not sent yet came back: %d", back)
    for topic, axis in expected - {(channel.topic, channel.labels[-1]) for channel in ingest.channels.values()}:
        channel = ingest.adopt(topic, axis)
        if channel is None:
            LOG.warning("expected channel not made, no room or its labels are taken: topic=%s axis=%s", topic, axis)
        else:
            channel.last_sample_s, channel.heard = now_s, False


def forget(ingest: Ingest, config: Config, now_s: float) -> list[Channel]:
    """Give up the channels that have sent nothing for too long and are not expected; returns them."""
    expected = _expected(config.sensors)
    gone = [
        channel
        for channel in ingest.channels.values()
        if now_s - channel.last_sample_s > config.scoring.forget_after
        and (channel.topic, channel.labels[-1]) not in expected
    ]
    for channel in gone:
        LOG.warning("channel forgotten after a long silence: channel=%s topic=%s", channel.name, channel.topic)
        ingest.forget(channel)
    return gone


def _expected(sensors: Iterable[Sensor]) -> set[tuple[str, str]]:
    """Topic and axis, the last label, of the channels that must exist."""
    return {wanted for sensor in sensors for wanted in sensor.expected()}
