"""The messages for Home Assistant's MQTT discovery of the channels."""

import hashlib
import json
import re

from monitor import __version__
from monitor.config.mqtt import Mqtt
from monitor.runtime.alarms.event import event_topic

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def discovery(settings: Mqtt, labels: dict[str, str]) -> list[tuple[str, str]]:
    """Topics and payloads for Home Assistant's discovery of a channel: its alarm, and the score at the last change.

    Source: Home Assistant, MQTT discovery, MQTT binary sensor, MQTT sensor.
    """
    name = " ".join(value for value in labels.values() if value)
    readable = _UNSAFE.sub("_", "_".join(value for value in labels.values() if value))
    # The hash keeps channels apart whose names are equal after the replacement.
    unique = f"vibration_{readable}_{hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:8]}"
    topic = event_topic(settings.events_topic or "", labels)
    common = {
        "state_topic": topic,
        "json_attributes_topic": topic,
        "availability_topic": settings.status,
        # Our status is "stopped" after a clean end; Home Assistant knows only "online" and "offline".
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
