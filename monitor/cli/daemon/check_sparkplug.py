"""What ``check-message`` says of a Sparkplug message: its metrics one by one, and why one is not used."""

import time
from dataclasses import dataclass, replace
from typing import Any

from monitor.cli.daemon.checked_channel import channel_figures, channel_line, time_text
from monitor.config.configuration import Config
from monitor.config.sensors import Sensor
from monitor.core.messages.decode import SPARKPLUG
from monitor.core.messages.sparkplug.addresses import Address, address_of
from monitor.core.messages.topics import TopicPattern
from monitor.runtime.intake.sparkplug import wanted_by


@dataclass(frozen=True)
class Explained:
    """What one message is to the daemon."""

    document: dict[str, Any]
    """For programs."""
    lines: list[str]
    """For people."""


def explain_metrics(config: Config, topic: str, payload: bytes, birth: bytes | None) -> Explained | None:
    """Explain a message of a node.

    Args:
        config: has the sensors.
        topic: of the message.
        payload: its bytes.
        birth: the payload of the birth of its node or device; None: not given.

    Returns:
        None if the topic is not that of a node's message, or no sensor has the format.

    Raises:
        Rejected: a payload cannot be read.
    """
    sensors = [sensor for sensor in config.sensors if sensor.payload.format == SPARKPLUG]
    address = address_of(topic)
    if not sensors or address is None:
        return None
    from monitor.core.messages.sparkplug.nodes import Nodes

    wanted = wanted_by(sensors)
    nodes = Nodes(wanted, time.monotonic)
    nodes.configure(wanted, config.limits.channels, asks=False)
    if birth is not None:
        nodes.take(replace(address, kind="DBIRTH" if address.device else "NBIRTH"), birth)
    heard = nodes.take(address, payload)
    if address.kind in {"NDEATH", "DDEATH"}:
        return Explained({"used": True, "ends": address.prefix}, [f"used: ends the channels of {_whose(address)}"])
    rejected = [{"metric": metric, "reason": error.reason, "detail": str(error)} for metric, error in heard.rejected]
    lines = [f"rejected ({error['reason']}): {error['metric']}: {error['detail']}" for error in rejected]
    if heard.born is not None:
        born = [{"metric": metric, **_labels(sensors, metric)[1]} for metric in heard.born]
        text = f"used: a birth; sensors want {len(born)} of its metrics"
        lines = [text, *(f"  {each}" for each in heard.born), *lines]
        return Explained({"used": True, "born": born, "rejected": rejected}, lines)
    channels = []
    for samples in heard.samples:
        sensor, labels = _labels(sensors, samples.topic)
        figures = channel_figures(sensor, labels, samples.values)
        lines.append(f"used: sensor {sensor.topic}, t {time_text(samples.t)}\n  {channel_line(figures)}")
        channels.append({"sensor": sensor.topic, "t": samples.t, **figures})
    if not lines:
        lines = [f"not used: no sensor wants a metric of this message of {_whose(address)}"]
    return Explained({"used": bool(channels), "channels": channels, "rejected": rejected}, lines)


def _labels(sensors: list[Sensor], topic: str) -> tuple[Sensor, dict[str, str]]:
    """The sensor of a metric, and the labels of its channel."""
    for sensor in sensors:
        found = TopicPattern.parse(sensor.topic).match(topic)
        if found is not None:
            return sensor, {**found, **sensor.labels}
    raise KeyError(topic)


def _whose(address: Address) -> str:
    return f"node {'/'.join(address.node)}" + (f", device {address.device}" if address.device else "")
