"""The broker in use: one task keeps the connection to it alive, and a new configuration replaces both.

Does not handle: what happens to a connection (``connection.py``).
"""

import asyncio

from monitor.config import Config, Mqtt
from monitor.core.messages.topics import TopicPattern
from monitor.runtime.intake.connection import MqttSource, MqttState
from monitor.runtime.intake.direct_client import Deliver
from monitor.runtime.internal_errors import InternalErrors, supervised


class Broker:
    """The connection that a configuration asks for."""

    def __init__(self, config: Config, deliver: Deliver, errors: InternalErrors) -> None:
        """Prepare a connection; :meth:`start` connects.

        Args:
            config: names the broker and, with its sensors, the topics.
            deliver: receives ``(topic, payload, retained)`` of each message, on the event loop.
            errors: counts unexpected errors.
        """
        self._deliver = deliver
        self._errors = errors
        self._wanted = _wanted(config)
        self._source = MqttSource(*self._wanted, deliver)
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def state(self) -> MqttState:
        """What the metrics say of the connection."""
        return self._source.state

    def start(self) -> None:
        """Connect, and stay connected; not after :meth:`stop`, so that a reload cannot outlast the daemon."""
        if not self._ended:
            self._task = asyncio.create_task(supervised(self._source.run, "mqtt", self._errors), name="mqtt")

    async def change(self, config: Config) -> None:
        """Replace the connection if a new configuration asks for another one."""
        wanted = _wanted(config)
        if wanted == self._wanted:
            return
        await self._disconnect()
        connections = self._source.state.connections
        self._wanted, self._source = wanted, MqttSource(*wanted, self._deliver)
        self._source.state.connections = connections
        self.start()

    async def publish(self, topic: str, payload: str, retain: bool) -> bool:
        """Publish if connected; returns whether the broker accepted it."""
        return await self._source.publish(topic, payload, retain=retain)

    async def stop(self) -> None:
        """Say goodbye and disconnect, for good."""
        self._ended = True
        await self._disconnect()

    async def _disconnect(self) -> None:
        await self._source.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _wanted(config: Config) -> tuple[Mqtt, list[str]]:
    """The broker and the topic filters of a configuration."""
    return config.mqtt, [TopicPattern.parse(sensor.topic).subscription for sensor in config.sensors]
