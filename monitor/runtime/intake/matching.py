"""Which sensor of the configuration a topic belongs to, and the labels that follow from it.

Does not handle: whether labels are short and printable (``route``).
"""

from collections.abc import Mapping

from monitor.config import Config
from monitor.config_sensors import Sensor
from monitor.core.messages.topics import TopicPattern


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
