"""Publishes alarm events, changes of baselines, and the messages by which Home Assistant discovers the channels.

One message is sent after the other. While the broker is down, only the newest event of each channel waits, because an
older one is out of date.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.runtime.alarms.event import AlarmEvent, event_topic
from monitor.runtime.alarms.home_assistant import discovery
from monitor.runtime.intake.channel import Channel
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.log.logs import RepeatedLog

LOG = logging.getLogger(__name__)

RETRY_S = 1.0
"""Pause before an event is retried while the broker is down. Shorter: more attempts. Longer: events arrive later."""

TRIES = 3
"""Attempts before an event that a connected broker refuses is dropped. Fewer: a passing fault costs an event. More: a
refused event delays all others for longer."""

Labels = tuple[tuple[str, str], ...]
"""A channel's labels: pairs of name and value."""

Publish = Callable[[str, str, bool], Awaitable[bool]]


class EventPublisher:
    """Sends retained events in order; an event that the broker refuses is dropped and counted.

    Only the newest event of each channel waits, because it replaces the older ones. Discovery messages go after the
    events, and are made when they are sent.
    """

    def __init__(
        self,
        settings: Mqtt | Kafka,
        publish: Publish,
        connected: Callable[[], bool],
        retry_s: float = RETRY_S,
        errors: InternalErrors | None = None,
    ) -> None:
        """Make a publisher; :meth:`run` sends.

        Args:
            settings: the topics; a reload may replace them.
            publish: takes topic, payload and whether to retain; returns whether the broker accepted the message.
            connected: returns whether the broker is connected.
            retry_s: pause before an event is retried.
            errors: counts unexpected errors; None: it makes its own counter.
        """
        self.dropped = 0
        self.settings = settings
        self._publish = publish
        self._connected = connected
        self._retry_s = retry_s
        self._errors = errors or InternalErrors(time.monotonic)
        self._log = RepeatedLog(LOG, time.monotonic)
        self._states: dict[Labels, str] = {}
        """Waiting payloads by channel."""
        self._changes: dict[Labels, str] = {}
        """Waiting payloads about a changed baseline, by channel."""
        self._unannounced: dict[Labels, bool] = {}
        """Channels with a waiting discovery message, and whether it removes them."""
        self._something = asyncio.Event()

    def alarm(self, event: AlarmEvent) -> None:
        """Queue an event, if the configuration has an events topic."""
        self.state(event.labels, event.payload)

    def state(self, labels: dict[str, str], payload: str) -> None:
        """Queue the payload of a channel's retained event; empty: delete the retained event."""
        if self.settings.events_topic is not None:
            key = tuple(labels.items())
            self._states.pop(key, None)  # the newest goes to the end
            self._states[key] = payload
            self._something.set()

    def baseline(self, labels: dict[str, str], payload: str) -> None:
        """Queue the latest change of a channel's baseline; empty: delete what the broker retains of it."""
        if self.settings.baselines_topic is not None:
            self._changes[tuple(labels.items())] = payload
            self._something.set()

    def channel(self, labels: dict[str, str], *, gone: bool = False) -> None:
        """Queue the discovery messages of a new channel, or their removal if ``gone``; only if discovery is enabled."""
        if isinstance(self.settings, Kafka):
            return
        if self.settings.homeassistant.enabled and self.settings.events_topic is not None:
            self._unannounced[tuple(labels.items())] = gone
            self._something.set()

    def renew(self, channels: Iterable[Channel], label_names: tuple[str, ...]) -> None:
        """Queue the last event and the discovery messages of channels: a broker, or a topic, may have none of them."""
        for channel in channels:
            labels = dict(zip(label_names, channel.labels, strict=True))
            if channel.event:
                self.state(labels, channel.event)
            self.channel(labels)

    def drop(self, labels: dict[str, str]) -> None:
        """Drop what waits about a channel: another daemon has it, and what it knows is newer."""
        for waiting in (self._states, self._changes, self._unannounced):
            waiting.pop(tuple(labels.items()), None)

    def forget(self, labels: dict[str, str]) -> None:
        """Queue the removal of everything that the broker retains of a channel."""
        self.state(labels, "")
        self.baseline(labels, "")
        self.channel(labels, gone=True)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._something.wait()
            labels = next(iter(self._states or self._changes or self._unannounced), None)
            if labels is None:
                self._something.clear()
                continue
            with self._errors.contained(Where.EVENT, " ".join(value for _, value in labels)):
                for message in self._messages(labels):
                    await self._send(*message)

    def _messages(self, labels: Labels) -> list[tuple[str, str]]:
        """Take a channel's next waiting messages off the queue: its event, its baseline, or its discovery messages."""
        for waiting, prefix in (
            (self._states, self.settings.events_topic),
            (self._changes, self.settings.baselines_topic),
        ):
            payload = waiting.pop(labels, None)
            if payload is not None:
                return [] if prefix is None else [(event_topic(prefix, dict(labels)), payload)]
        gone = self._unannounced.pop(labels)
        if isinstance(self.settings, Kafka):  # a reload replaced MQTT by it
            return []
        return [(topic, "" if gone else payload) for topic, payload in discovery(self.settings, dict(labels))]

    async def _send(self, topic: str, payload: str) -> None:
        refusals = 0
        while not (self._connected() and await self._publish(topic, payload, True)):
            refusals += self._connected()
            if refusals >= TRIES:
                self.dropped += 1
                self._log.warning("event", f"event not published: topic={topic} reason=the broker refuses it")
                return
            await asyncio.sleep(self._retry_s)
