"""The daemon's broker, MQTT or Kafka: one task keeps the connection alive; a new configuration may replace it.

Does not handle: losses and retries (``connection``, ``kafka.source``).
"""

import asyncio
from collections.abc import Iterable

from monitor.config.configuration import Config
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.config.sensors import Sensor
from monitor.core.messages.decode import SPARKPLUG
from monitor.core.messages.sparkplug.addresses import message_filters
from monitor.core.messages.topics import TopicPattern, covers
from monitor.runtime.intake.kafka.ownership import Owner
from monitor.runtime.intake.mqtt.connection import MqttSource
from monitor.runtime.intake.source import Receiver, Source, SourceState
from monitor.runtime.log.internal_errors import InternalErrors, supervised

Wanted = tuple[Mqtt | Kafka, list[str], list[str], float]
"""What a connection depends on: the broker; the MQTT topic filters of the sensors, and of the measured quantities; and
seconds for which the longest-lived quantity of Kafka holds."""


class Broker:
    """The connection to the broker of the running configuration."""

    def __init__(self, config: Config, receiver: Receiver, errors: InternalErrors, owner: Owner | None = None) -> None:
        """Prepare a connection; :meth:`start` connects.

        Args:
            config: has the broker's address and the topics of the sensors and of their conditions.
            receiver: takes each message, on the event loop.
            errors: counts unexpected errors.
            owner: has the state that moves with the channels of a consumer group.
        """
        self._receiver, self._owner = receiver, owner
        self._state_dir = config.state_dir  # a reload cannot change it
        self._errors = errors
        self._wanted = _wanted(config)
        self._source = self._make_source()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def state(self) -> SourceState:
        """State of the connection, for the metrics and the readiness answer."""
        return self._source.state

    def start(self) -> None:
        """Start the task; after :meth:`stop` it does nothing, so a late reload cannot reconnect."""
        if not self._ended:
            self._task = asyncio.create_task(supervised(self._source.run, "source", self._errors), name="source")

    async def change(self, config: Config) -> None:
        """Replace the connection if the new configuration has another broker or other topics."""
        wanted = _wanted(config)
        if wanted == self._wanted:
            return
        await self._disconnect()
        connections = self._source.state.connections
        self._wanted = wanted
        self._source = self._make_source()
        self._source.state.connections = connections
        self.start()

    async def publish(self, topic: str, payload: str | bytes, retain: bool) -> bool:
        """Publish if connected; returns whether the broker accepted the message."""
        return await self._source.publish(topic, payload, retain=retain)

    async def stop(self) -> None:
        """Publish the status ``stopped`` and disconnect for the last time."""
        self._ended = True
        await self._disconnect()

    def _make_source(self) -> Source:
        settings, samples, conditions, longest_age_s = self._wanted
        if isinstance(settings, Kafka):
            from monitor.runtime.intake.kafka.source import KafkaSource

            return KafkaSource(settings, self._receiver, longest_age_s, self._state_dir, self._owner)
        return MqttSource(settings, samples + conditions, self._deliver, conditions)

    def _deliver(self, topic: str, payload: bytes, retained: bool) -> None:
        self._receiver.deliver(topic, payload, retained=retained)

    async def _disconnect(self) -> None:
        await self._source.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _wanted(config: Config) -> Wanted:
    if config.kafka is not None:  # whole topics are read
        return config.kafka, [], [], _longest_age_s(config)
    samples = [topic for sensor in config.sensors for topic in _filters_of(sensor)]
    conditions = [condition.topic for sensor in config.sensors for condition in sensor.conditions.values()]
    filters = [TopicPattern.parse(topic).subscription for topic in conditions]
    return config.mqtt, _distinct(samples), _distinct(filters), 0.0


def _longest_age_s(config: Config) -> float:
    return max((each.max_age for sensor in config.sensors for each in sensor.conditions.values()), default=0.0)


def _filters_of(sensor: Sensor) -> list[str]:
    if sensor.payload.format == SPARKPLUG:
        return message_filters(sensor.topic)
    return [TopicPattern.parse(sensor.topic).subscription]


def _distinct(filters: Iterable[str]) -> list[str]:
    """The filters that no other one covers: a broker may send a message once for each filter that fits."""
    once = list(dict.fromkeys(filters))
    return [one for one in once if not any(other != one and covers(other, one) for other in once)]
