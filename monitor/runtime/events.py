"""Alarm events over MQTT, and what Home Assistant needs to find the channels by itself.

Pure functions make topics and payloads; one small publisher sends them and counts what it had to drop.
Refuses to know: when an alarm is one.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from monitor import __version__
from monitor.config import Mqtt
from monitor.runtime.alarms import AlarmEvent

LOG = logging.getLogger(__name__)

QUEUED = 1000
"""Events that wait for the broker at most."""

Publish = Callable[[str, str, bool], Awaitable[bool]]

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def event_topic(prefix: str, event: AlarmEvent) -> str:
    """The topic of a channel's events; what a topic must not hold is replaced."""
    levels = [re.sub(r"[+#/\x00]", "_", value) for value in event.labels.values() if value]
    return "/".join([prefix, *levels])


def event_payload(event: AlarmEvent) -> str:
    """The event as JSON."""
    return json.dumps(
        {
            "time": datetime.fromtimestamp(event.at_s, UTC).isoformat(),
            "labels": event.labels,
            "state": event.after.name.lower(),
            "previous_state": event.before.name.lower(),
            "score": round(event.score, 4),
            "evidence": {name: round(value, 4) for name, value in event.evidence.items()},
            "band_hz": None if event.band_hz is None else [round(edge, 1) for edge in event.band_hz],
            "evidence_file": event.evidence_file,
        }
    )


def discovery(prefix: str, settings: Mqtt, labels: dict[str, str]) -> tuple[str, str]:
    """Topic and payload by which Home Assistant finds a channel's alarm as a binary sensor.

    Source: Home Assistant, MQTT discovery and MQTT binary sensor.
    """
    name = " ".join(value for value in labels.values() if value)
    unique = "vibration_" + _UNSAFE.sub("_", "_".join(labels.values()))
    state_topic = "/".join([settings.events_topic or "", *(v for v in labels.values() if v)])
    payload = {
        "name": f"{name} vibration",
        "unique_id": unique,
        "device_class": "problem",
        "state_topic": state_topic,
        "value_template": "{{ 'ON' if value_json.state == 'alarm' else 'OFF' }}",
        "json_attributes_topic": state_topic,
        "availability_topic": settings.status_topic,
        "payload_available": "online",
        "payload_not_available": "offline",
        "device": {
            "identifiers": [f"vibration-monitor-{settings.client_id}"],
            "name": "vibration-monitor",
            "sw_version": __version__,
        },
    }
    return f"{prefix}/binary_sensor/{unique}/config", json.dumps(payload)


class EventPublisher:
    """Sends events one after another; an event that cannot be sent is dropped and counted."""

    def __init__(self, settings: Mqtt, publish: Publish) -> None:
        self.dropped = 0
        self.settings = settings
        self._publish = publish
        self._queue: asyncio.Queue[tuple[str, str, bool]] = asyncio.Queue(QUEUED)

    def alarm(self, event: AlarmEvent) -> None:
        """Queue an event, where events are wanted."""
        if self.settings.events_topic is not None:
            self._put(event_topic(self.settings.events_topic, event), event_payload(event), retain=True)

    def channel(self, labels: dict[str, str]) -> None:
        """Queue what Home Assistant needs for a new channel, where that is wanted."""
        home = self.settings.homeassistant
        if home.enabled and self.settings.events_topic is not None:
            self._put(*discovery(home.prefix, self.settings, labels), retain=True)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            topic, payload, retain = await self._queue.get()
            if not await self._publish(topic, payload, retain):
                self.dropped += 1
                LOG.warning("event not published: topic=%s", topic)

    def _put(self, topic: str, payload: str, *, retain: bool) -> None:
        try:
            self._queue.put_nowait((topic, payload, retain))
        except asyncio.QueueFull:
            self.dropped += 1
