"""What ``record`` records: the channels of a configuration, or those that the user describes.

A configuration knows topics, rates, units and formats, so nothing is typed twice. What the user states as well must not
contradict it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.config.configuration import Config
from monitor.config.file import read_config
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.config.sensors import Payload, Sensor
from monitor.core.messages.topics import TopicPattern
from monitor.errors import ConfigurationError
from monitor.recording.write import OWN_NAMES


@dataclass(frozen=True)
class Stated:
    """What the user states of the channels; None: not stated."""

    topic: str | None
    """Topic, or topic pattern."""
    sampling_rate_hz: float | None
    unit: str | None
    payload_format: str | None
    axis: str | None
    """The only axis to record."""


@dataclass(frozen=True)
class Wanted:
    """What is to be recorded."""

    config: Config
    """Sensors of the topics; all have the same model, since none is used."""
    topics: tuple[TopicPattern, ...]
    """Topics that are recorded, if the configuration has a sensor for them."""
    axis: str | None
    """The only axis that is recorded; None: all."""
    warnings: tuple[str, ...] = field(default=())
    """What the user should know before it begins."""

    @property
    def single(self) -> bool:
        """Whether all of it is surely one topic."""
        return len(self.topics) == 1 and not {"+"} & set(self.topics[0].subscription.split("/"))

    def expected(self) -> Iterator[str]:
        """Topics of the channels that the configuration expects."""
        for sensor in self.config.sensors:
            for topic, _ in sensor.expected():
                if any(pattern.match(topic) is not None for pattern in self.topics):
                    yield topic


def what_to_record(config_file: Path | None, broker: Mqtt | Kafka, stated: Stated) -> Wanted:
    """Find the sensors to record.

    Args:
        config_file: the configuration that the user named.
        broker: for the limits of messages.
        stated: what the user states.

    Raises:
        ConfigurationError: nothing says what to record or how it is encoded, or both say it differently.
    """
    try:
        topic = None if stated.topic is None else TopicPattern.parse(_named(stated.topic))
    except ValueError as error:
        raise ConfigurationError(f"--topic: {error}") from error
    if config_file is None:
        if topic is None:
            raise ConfigurationError("record: what is to be recorded? Give --config FILE, or --topic TOPIC")
        return _of_options(topic, broker, stated, "")
    config = read_config(config_file)
    sensors = [
        (i, sensor)
        for i, sensor in enumerate(config.sensors)
        if topic is None or TopicPattern.parse(sensor.topic).shared_topic(topic) is not None
    ]
    if topic is not None and not sensors:
        return _of_options(topic, broker, stated, f"--topic '{stated.topic}': no sensor of {config_file} has it; ")
    taken = [
        f"sensors[{i}].conditions.{name} in {config_file}: a recording uses this name for itself; choose another one"
        for i, sensor in sensors
        for name in sorted(sensor.conditions.keys() & OWN_NAMES)
    ]
    if taken:
        raise ConfigurationError("\n".join(taken))
    problems = [line for i, sensor in sensors for line in _contradictions(stated, sensor, f"sensors[{i}]")]
    if problems:
        raise ConfigurationError(
            "\n".join(f"{line} in {config_file}; leave the option out, or correct the file" for line in problems)
        )
    chosen = tuple(
        sensor.model_copy(update={"model": "default", "topic": _named(sensor.topic)}) for _, sensor in sensors
    )
    return Wanted(
        config.model_copy(
            update={"sensors": chosen, "models": {"default": "reference"}, "kafka": None, broker.section: broker}
        ),
        (topic,) if topic else tuple(TopicPattern.parse(sensor.topic) for sensor in chosen),
        stated.axis,
        tuple(
            f"{config_file}: sensors[{i}] has no unit, so its samples are taken as m/s2; add unit: g if they are in g"
            for i, sensor in sensors
            if "unit" not in sensor.model_fields_set
        ),
    )


def _of_options(topic: TopicPattern, broker: Mqtt | Kafka, stated: Stated, why: str) -> Wanted:
    missing = {"--sampling-rate-hz": stated.sampling_rate_hz, "--unit": stated.unit}
    if absent := [option for option, value in missing.items() if value is None]:
        raise ConfigurationError(
            f"record: {why}the messages say neither rate nor unit: add {' and '.join(absent)}, or --config FILE with a "
            "sensor of this topic"
        )
    sensor = Sensor.model_validate(
        {
            "topic": topic.text,
            "payload": Payload(format=stated.payload_format or "float32"),
            "sampling_rate_hz": stated.sampling_rate_hz,
            "unit": stated.unit,
        }
    )
    given: dict[str, Any] = {broker.section: broker}
    config = Config(models={"default": "reference"}, sensors=(sensor,), **given)
    return Wanted(config, (topic,), stated.axis)


def _contradictions(stated: Stated, sensor: Sensor, where: str) -> Iterator[str]:
    known = {
        "sampling-rate-hz": (stated.sampling_rate_hz, sensor.sampling_rate_hz),
        "unit": (stated.unit, sensor.unit),
        "format": (stated.payload_format, sensor.payload.format),
    }
    for option, (wanted, found) in known.items():
        if wanted is not None and wanted != found:
            shown = [f"{value:g}" if isinstance(value, float) else value for value in (wanted, found)]
            yield f"--{option} {shown[0]}: {where} says {shown[1]}"
    if stated.axis is not None and sensor.axes and stated.axis not in sensor.axes:
        yield f"--axis {stated.axis}: {where} has {', '.join(sensor.axes)}"


def _named(topic: str) -> str:
    """The pattern with a name for every ``+``, so that its channels differ in their labels."""
    return "/".join(f"{{level{i}}}" if level == "+" else level for i, level in enumerate(topic.split("/"), 1))
