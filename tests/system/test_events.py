"""From a changed alarm state inside the daemon to a message at a real broker."""

import asyncio
import json
from pathlib import Path

import aiomqtt
import numpy as np
import pytest

from monitor.config.file import read_config
from monitor.core.scoring.alarm import Changes, State
from monitor.runtime.daemon import Daemon
from tests.support.daemons import configuration
from tests.support.servers import mosquitto, until

pytestmark = pytest.mark.system


async def collect(port: int, seen: dict[str, object]) -> None:
    """Note the last message of every topic."""
    async with aiomqtt.Client("127.0.0.1", port) as watcher:
        await watcher.subscribe("#")
        async for message in watcher.messages:
            payload = bytes(message.payload)
            seen[str(message.topic)] = json.loads(payload) if payload.startswith(b"{") else payload


def test_a_new_alarm_reaches_the_broker_and_stays_there(tmp_path: Path) -> None:
    async def story(broker: int) -> tuple[dict[str, object], dict[str, object]]:
        config = tmp_path / "config.yaml"
        mqtt = f"mqtt: {{url: 'mqtt://127.0.0.1:{broker}', homeassistant: {{enabled: true}}, events_topic: TOPIC}}\n"
        config.write_text(configuration(broker, 0, mqtt.replace("TOPIC", "events")))
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        await until(lambda: not daemon.unready(), "the broker")
        async with aiomqtt.Client("127.0.0.1", broker) as sender:
            await sender.publish("plant/fan/x", np.zeros(100, "<f4").tobytes(), qos=1)
        await until(lambda: daemon.ingest.channels, "the channel")
        lane, row = daemon._lanes["default"].lane, np.array([daemon.ingest.channels[("fan", "x")].row])
        changes = Changes(row, np.array([State.OK]), np.array([State.ALARM]), np.array([np.nan], np.float32))
        daemon._alarms_changed(lane, changes)
        seen: dict[str, object] = {}
        watching = asyncio.create_task(collect(broker, seen))
        await until(lambda: "events/fan/x" in seen, "the event")
        config.write_text(configuration(broker, 0, mqtt.replace("TOPIC", "other")))
        await daemon.reload()
        daemon._alarms_changed(lane, changes)
        await until(lambda: "other/fan/x" in seen, "the event on the topic of the new configuration")
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        late: dict[str, object] = {}
        watching = asyncio.create_task(collect(broker, late))
        await until(lambda: late.get(daemon.config.mqtt.status) == b"stopped", "the status")
        await until(lambda: "other/fan/x" in late, "the retained event")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return seen, late

    with mosquitto(tmp_path) as broker:
        seen, late = asyncio.run(story(broker))
    event = seen["events/fan/x"]
    assert isinstance(event, dict)
    assert event["labels"] == {"machine": "fan", "axis": "x"}
    assert (event["previous_state"], event["state"], event["score"]) == ("ok", "alarm", None)
    found = {topic.split("/")[1]: payload for topic, payload in late.items() if topic.startswith("homeassistant/")}
    assert sorted(found) == ["binary_sensor", "sensor"]
    for payload in found.values():
        assert isinstance(payload, dict)
        assert payload["state_topic"] == "other/fan/x"
