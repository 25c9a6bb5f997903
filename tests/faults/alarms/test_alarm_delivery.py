"""An alarm is told, kept and remembered, whatever happens to the daemon or the broker right after it."""

import asyncio
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.config.file import read_config
from monitor.runtime.daemon import Daemon
from tests.support.alarming import calibrated, noise, raise_alarm, retained, send, wait_for_retained_state
from tests.support.daemons import configuration, running_daemon
from tests.support.servers import mosquitto, publish, wait_for

pytestmark = pytest.mark.system

EVENTS = "mqtt: {url: 'mqtt://127.0.0.1:PORT', events_topic: events, reconnect_min: 50ms, reconnect_max: 200ms}\n"


def test_a_fresh_alarm_outlives_a_kill_half_a_second_later(tmp_path: Path) -> None:
    text = calibrated(tmp_path) + "evidence: {after: 60s}\n"
    with mosquitto(tmp_path) as broker:
        text += EVENTS.replace("PORT", str(broker))
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            raise_alarm(broker, "fan")
            wait_for(lambda: daemon.value("vibration_alarm_state", machine="fan") == 2, "the alarm")
            event = retained(broker, "events/fan/x")
            time.sleep(0.5)  # what happens in this half second is what is tested
            daemon.process.kill()
            daemon.process.wait(10)
        [samples] = (tmp_path / "state" / "evidence").glob("*.npz")
        with np.load(samples) as file:
            assert file["acceleration"].size > 6000
        about = json.loads(samples.with_suffix(".json").read_text())
        assert (about["channel"], about["complete"]) == ("fan/x", False)
        assert about["score"] >= 1
        with running_daemon(tmp_path, broker, text) as daemon:
            # In the very first scrape, before anything was sent.
            assert daemon.values("vibration_alarm_state", machine="fan") == [2]
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            assert retained(broker, "events/fan/x") == event


def test_what_the_broker_retains_is_put_right_after_a_kill(tmp_path: Path) -> None:
    text = calibrated(tmp_path)
    with mosquitto(tmp_path) as broker:
        text += EVENTS.replace("PORT", str(broker))
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            raise_alarm(broker, "fan")
            send(broker, "pump", noise(2, 4))
            wait_for(lambda: daemon.value("vibration_alarm_state", machine="fan") == 2, "the alarm")
            wait_for(lambda: daemon.values("vibration_alarm_state", machine="pump") == [0], "the healthy pump")
            wait_for_retained_state(broker, "events/fan/x", "alarm")
            daemon.process.terminate()  # so that the pump is known
            daemon.process.wait(20)
        fan = retained(broker, "events/fan/x")
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            daemon.process.kill()
            daemon.process.wait(10)
        # The broker lost the alarm of the fan, and has one of the pump that the daemon did not live to take down.
        publish(broker, [("events/fan/x", b""), ("events/pump/x", fan["events/fan/x"])], retain=True)
        with running_daemon(tmp_path, broker, text):
            assert retained(broker, "events/fan/x") == fan
            wait_for_retained_state(broker, "events/pump/x", "ok")


def test_an_alarm_ends_with_the_calibration_that_it_was_raised_by(tmp_path: Path) -> None:
    text = calibrated(tmp_path)
    with mosquitto(tmp_path) as broker:
        text += EVENTS.replace("PORT", str(broker))
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            raise_alarm(broker, "fan")
            wait_for_retained_state(broker, "events/fan/x", "alarm")
            calibrated(tmp_path, seed=5)
            daemon.process.send_signal(signal.SIGHUP)
            wait_for_retained_state(broker, "events/fan/x", "ok")
            assert daemon.value("vibration_alarm_state", machine="fan") == 0


def test_discovery_of_a_thousand_channels_displaces_no_event_and_is_complete(tmp_path: Path) -> None:
    channels = 1000
    with mosquitto(tmp_path) as broker:
        text = (
            f"mqtt: {{url: 'mqtt://127.0.0.1:{broker}', events_topic: events, homeassistant: {{enabled: true}}}}\n"
            f"limits: {{channels: {channels}}}\n"
        )
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            publish(broker, [(f"plant/m{number}/x", bytes(400)) for number in range(channels)])
            wait_for(lambda: daemon.value("vibration_channels") == channels, "all channels")
            assert len(retained(broker, "homeassistant/#", 2 * channels)) == 2 * channels
            assert daemon.value("vibration_events_dropped_total") == 0


def test_an_alarm_at_the_very_moment_of_the_stop_does_not_keep_the_daemon(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(configuration(1, 0, f"state_dir: {tmp_path / 'state'}\n"))

    async def story() -> None:
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        await asyncio.sleep(0.1)  # until its helpers wait
        daemon._saving.wanted.set()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()

    asyncio.run(asyncio.wait_for(story(), 120))
