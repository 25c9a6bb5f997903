"""Channels that do not send: known from an earlier run, expected by the configuration, or gone for good.

A monitor must report a sensor that died. So a known channel stays, as silent, until it has sent nothing for
``scoring.forget_after`` or the configuration has no sensor for its topic any more.
"""

import logging
from collections.abc import Iterable

from monitor.config.configuration import Config
from monitor.config.sensors import Sensor
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.state.memory import Memory

LOG = logging.getLogger(__name__)


def bring_back(ingest: Ingest, memory: Memory, config: Config, now_s: float) -> None:
    """Create the channels of an earlier run, silent since their last samples, and the expected channels.

    A channel whose topic matches no configured sensor stays in the saved state, in case the configuration is wrong.
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
        LOG.info("channels of an earlier run restored: %d", back)
    for topic, axis in expected - {(channel.topic, channel.labels[-1]) for channel in ingest.channels.values()}:
        channel = ingest.adopt(topic, axis)
        if channel is None:
            LOG.warning(
                "expected channel not created: limits.channels is reached or its labels are in use: topic=%s axis=%s",
                topic,
                axis,
            )
        else:
            channel.last_sample_s, channel.heard = now_s, False


def forget(ingest: Ingest, config: Config, now_s: float) -> list[Channel]:
    """Remove the channels that have sent nothing for ``scoring.forget_after`` and are not expected; returns them."""
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
    """Topic and axis of the channels that must exist; the axis is the last label."""
    return {wanted for sensor in sensors for wanted in sensor.expected()}
