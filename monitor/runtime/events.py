"""Alarm events over MQTT, and what Home Assistant needs to find the channels by itself.

Pure functions make topics and payloads; one small publisher sends them in order. While the broker is away events wait,
up to a limit; beyond it the oldest go, counted, for the newest is the one that still holds.
Refuses to know: when an alarm is one.
"""

import asyncio
import hashlib
import json
import logging
import math
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from monitor import __version__
from monitor.config import Mqtt
from monitor.runtime.alarms import AlarmEvent
from monitor.runtime.repeated_log import RepeatedLog

LOG = logging.getLogger(__name__)

QUEUED = 1000
"""Events that wait for the broker at most. Fewer: an outage costs events. More: the broker gets them in one burst."""

RETRY_S = 1.0
"""Pause before an event is tried again while the broker is away."""

TRIES = 3
"""How often a connected broker may refuse an event before it is dropped; it must not hold up the others for ever."""

Publish = Callable[[str, str, bool], Awaitable[bool]]

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def event_topic(prefix: str, labels: dict[str, str]) -> str:
    """The topic of a channel's events: prefix and label values; what a topic must not hold is replaced."""
    levels = [re.sub(r"[+#/\x00]", "_", value) for value in labels.values() if value]
    return "/".join([prefix, *levels])


def event_payload(event: AlarmEvent) -> str:
    """The event as JSON; a figure that does not exist is null."""
    return json.dumps(
        {
            "time": datetime.fromtimestamp(event.at_s, UTC).isoformat(timespec="milliseconds"),
            "labels": event.labels,
            "state": event.after.name.lower(),
            "previous_state": event.before.name.lower(),
            "score": _rounded(event.score),
            "evidence": {name: _rounded(value) for name, value in event.evidence.items()},
            "band_hz": None if event.band_hz is None else [round(edge, 1) for edge in event.band_hz],
            "evidence_file": event.evidence_file,
        },
        allow_nan=False,
    )


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def discovery(settings: Mqtt, labels: dict[str, str]) -> list[tuple[str, str]]:
    """Topics and payloads by which Home Assistant finds a channel: its alarm, and the score that last changed it.

    Source: Home Assistant, MQTT discovery, MQTT binary sensor, MQTT sensor.
    """
    name = " ".join(value for value in labels.values() if value)
    readable = _UNSAFE.sub("_", "_".join(value for value in labels.values() if value))
    # Different channels may read the same once everything unsafe is replaced.
    unique = f"vibration_{readable}_{hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:8]}"
    topic = event_topic(settings.events_topic or "", labels)
    common = {
        "state_topic": topic,
        "json_attributes_topic": topic,
        "availability_topic": settings.status_topic,
        # Ours says "stopped" after a clean end, which Home Assistant would ignore.
        "availability_template": "{{ 'online' if value == 'online' else 'offline' }}",
        "device": {
            "identifiers": [f"vibration-monitor-{settings.client_id}"],
            "name": "vibration-monitor",
            "sw_version": __version__,
        },
    }
    alarm = {
        "name": f"{name} vibration",
        "unique_id": unique,
        "device_class": "problem",
        "value_template": "{{ 'ON' if value_json.state == 'alarm' else 'OFF' }}",
    }
    score = {
        "name": f"{name} vibration score at the last change",
        "unique_id": f"{unique}_score",
        "state_class": "measurement",
        "value_template": "{{ value_json.score }}",
    }
    prefix = settings.homeassistant.prefix
    return [
        (f"{prefix}/binary_sensor/{unique}/config", json.dumps(alarm | common)),
        (f"{prefix}/sensor/{unique}_score/config", json.dumps(score | common)),
    ]


class EventPublisher:
    """Sends events one after another, retained; what cannot be sent is dropped and counted."""

    def __init__(
        self, settings: Mqtt, publish: Publish, connected: Callable[[], bool], retry_s: float = RETRY_S
    ) -> None:
        """Make a publisher; :meth:`run` sends.

        Args:
            settings: which topics; a reload may replace them.
            publish: takes topic, payload and whether to retain; returns whether the broker took it.
            connected: whether there is a broker to send to.
            retry_s: pause before an event is tried again.
        """
        self.dropped = 0
        self.settings = settings
        self._publish = publish
        self._connected = connected
        self._retry_s = retry_s
        self._log = RepeatedLog(LOG, time.monotonic)
        self._waiting: deque[tuple[str, str]] = deque()
        self._something = asyncio.Event()

    def alarm(self, event: AlarmEvent) -> None:
        """Queue an event, where events are wanted."""
        if self.settings.events_topic is not None:
            self._put(event_topic(self.settings.events_topic, event.labels), event_payload(event))

    def channel(self, labels: dict[str, str]) -> None:
        """Queue what Home Assistant needs for a new channel, where that is wanted."""
        if self.settings.homeassistant.enabled and self.settings.events_topic is not None:
            for topic, payload in discovery(self.settings, labels):
                self._put(topic, payload)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._something.wait()
            message = self._waiting.popleft()
            if not self._waiting:
                self._something.clear()
            await self._send(message)

    async def _send(self, message: tuple[str, str]) -> None:
        refusals = 0
        while not (self._connected() and await self._publish(*message, True)):
            refusals += self._connected()
            if refusals >= TRIES:
                self._drop(message, "the broker does not take it")
                return
            await asyncio.sleep(self._retry_s)

    def _put(self, topic: str, payload: str) -> None:
        if len(self._waiting) >= QUEUED:
            self._drop(self._waiting.popleft(), f"{QUEUED} newer ones wait for the broker")
        self._waiting.append((topic, payload))
        self._something.set()

    def _drop(self, message: tuple[str, str], reason: str) -> None:
        self.dropped += 1
        self._log.warning("event", f"event not published: topic={message[0]} reason={reason}")
