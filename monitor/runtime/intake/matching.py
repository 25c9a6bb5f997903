"""Which sensor of the configuration a topic belongs to, and the labels that follow from it.

Does not handle: whether labels are short and printable (``route``).
"""

from collections.abc import Mapping

from monitor.config.configuration import Config
from monitor.config.sensors import Sensor
from monitor.core.messages.topics import TopicPattern
from monitor.runtime.intake.channel import Channel


class Matching:
    """The sensors of one configuration, by the patterns of their topics."""

    def __init__(self, config: Config) -> None:
        self.label_names = config.label_names
        """Names of all labels, in their order."""
        self._patterns = [(TopicPattern.parse(sensor.topic), sensor) for sensor in config.sensors]

    def match(self, topic: str) -> tuple[Sensor | None, dict[str, str]]:
        """The sensor of a topic, with the labels of its channels but for the axis; None if no sensor has it."""
        for pattern, sensor in self._patterns:
            labels = pattern.match(topic)
            if labels is not None:
                return sensor, {**labels, **sensor.labels}
        return None, {}

    def values(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The values of all label names; a label that a sensor lacks is empty."""
        return tuple(labels.get(name, "") for name in self.label_names)

    def keeps(self, channel: Channel, label_names: tuple[str, ...]) -> bool:
        """Whether a channel has the sensor and the labels that it had; ``label_names``: those that it had."""
        sensor, labels = self.match(channel.topic)
        if sensor is None or sensor.samples_only != channel.sensor.samples_only:
            return False
        before = {name: value for name, value in zip(label_names, channel.labels, strict=True) if value}
        now = {"axis": channel.labels[-1], **labels}
        return before == {name: value for name, value in now.items() if value}
