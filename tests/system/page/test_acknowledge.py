"""An alarm is acknowledged on the live page: others see it, over MQTT too, and after a kill."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from monitor.config.configuration import Http
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.runtime.web.server import make_app
from tests.support.alarming import calibrated, raise_alarm, retained
from tests.support.browser import Browser, chromium
from tests.support.channels.healthy import healthy_calibration
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import get, mosquitto, wait_for
from tests.system.page.test_overview import LINES, NAMES, STATES, channel_of, click, pictures, plant_of

pytestmark = pytest.mark.system

TOPIC = "events/fan/x"
SAID = "bearing ordered <b>today"
SEEN = "document.querySelector('tbody .seen')"


async def fill(browser: Browser, by: str, reason: str) -> None:
    for name, value in {"by": by, "reason": reason}.items():
        await browser.value(f"document.querySelector('.acknowledging [name={name}]').value = {value!r}")


def acknowledged(daemon: RunningDaemon) -> list[str | None]:
    """Who has acknowledged each present alarm."""
    alarms = json.loads(get(f"{daemon.address}/api/v1/alarms"))["alarms"]
    return [alarm["acknowledged"] and alarm["acknowledged"]["by"] for alarm in alarms]


def test_an_acknowledged_alarm_is_so_for_all_and_after_a_kill(tmp_path: Path) -> None:
    text = f"{calibrated(tmp_path)}scoring: {{interval: 100ms}}\n"

    async def on_the_page(daemon: RunningDaemon) -> None:
        async with chromium() as browser:
            await browser.size(1280, 800)
            await browser.open(daemon.address)
            await browser.until("document.querySelector('tbody .acknowledge')?.checkVisibility()")
            await click(browser, "tbody .acknowledge")
            # Without a name nothing happens.
            await fill(browser, "", SAID)
            await click(browser, ".acknowledging .confirm")
            assert acknowledged(daemon) == [None]
            # What the monitor refuses is told.
            await fill(browser, " ", SAID)
            await click(browser, ".acknowledging .confirm")
            await browser.until("/by: it must be one line/.test(document.querySelector('.refused').innerText)")
            await fill(browser, "anna", SAID)
            await click(browser, ".acknowledging .confirm")
            await browser.until(f"{SEEN}.checkVisibility() && {SEEN}.innerText == '✓ anna'")
            assert (await browser.value(f"{SEEN}.title")).endswith(f": {SAID}")
            assert not await browser.value("document.querySelector('tbody .acknowledge').checkVisibility()")

    async def on_the_channels_page(daemon: RunningDaemon) -> None:
        async with chromium() as browser:
            await browser.size(1280, 800)
            await browser.open(f"{daemon.address}/#/channel?machine=fan&axis=x")
            line = "document.querySelector('.acknowledged')"
            await browser.until(f"/^✓ acknowledged by anna, .*: {SAID} Change$/.test({line}.innerText)")
            await click(browser, ".acknowledged button")
            await fill(browser, "ben", "it is in the post")
            await click(browser, ".acknowledging .confirm")
            await browser.until(f"/^✓ acknowledged by ben, /.test({line}.innerText)")

    with mosquitto(tmp_path) as broker:
        text += f"mqtt: {{url: 'mqtt://127.0.0.1:{broker}', events_topic: events, reconnect_min: 50ms}}\n"
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            raise_alarm(broker, "fan")
            wait_for(lambda: acknowledged(daemon) == [None], "the alarm")
            asyncio.run(asyncio.wait_for(on_the_page(daemon), 120))
            event = json.loads(retained(broker, TOPIC)[TOPIC])
            assert event["text"] == f"fan/x: {event['state']} acknowledged by anna: {SAID}"
            assert (event["acknowledged"]["by"], event["acknowledged"]["reason"]) == ("anna", SAID)
            assert event["score"] is not None
            state = tmp_path / "state" / "state"
            wait_for(lambda: SAID.encode() in state.read_bytes(), "the state to be saved")
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
        with running_daemon(tmp_path, broker, text) as daemon:
            assert acknowledged(daemon) == ["anna"]
            asyncio.run(asyncio.wait_for(on_the_channels_page(daemon), 120))
            wait_for(lambda: json.loads(retained(broker, TOPIC)[TOPIC])["acknowledged"]["by"] == "ben", "the event")


def test_only_this_machines_user_may(tmp_path: Path) -> None:
    text = f"{calibrated(tmp_path)}scoring: {{interval: 100ms}}\n"
    body = json.dumps({"channels": ["fan/x"], "by": "anna", "reason": "seen"}).encode()

    def status(daemon: RunningDaemon, **headers: str) -> int:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{daemon.address}/api/v1/alarms/acknowledge", body, names)
        try:
            with urllib.request.urlopen(request, timeout=10) as found:
                return int(found.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker, text) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        raise_alarm(broker, "fan")
        wait_for(lambda: acknowledged(daemon) == [None], "the alarm")
        token = json.loads(get(f"{daemon.address}/api/v1/alarms"))["token"]
        ours = {"Content_Type": "application/json", "X_Vibration_Token": token}
        assert status(daemon, **{**ours, "Content_Type": "text/plain"}) == 415
        assert status(daemon, **{**ours, "X_Vibration_Token": "guessed"}) == 403
        assert status(daemon, **ours, X_Forwarded_For="192.0.2.1") == 403
        assert status(daemon, **ours, Origin="https://evil.example") == 403
        assert acknowledged(daemon) == [None]
        assert status(daemon, **ours) == 200
        assert acknowledged(daemon) == ["anna"]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return healthy_calibration(400)


def test_a_machines_alarms_are_acknowledged_together(tmp_path: Path, calibration: Calibration) -> None:
    plant = plant_of(calibration, 12, ("de", "nde", "gear"))
    for machine, sensor, score in (("fan-2", "de", 12.0), ("fan-2", "gear", 5.0), ("fan-9", "de", 0.9)):
        plant.judge(machine, score, sensor)
    plant.judge("fan-5", 1.3, "de")

    async def story(browser: Browser, address: str) -> None:
        await browser.open(address)
        await browser.until("document.querySelector('tbody .acknowledge')?.checkVisibility()")
        assert (await browser.value(NAMES))[:3] == ["fan-2", "fan-5", "fan-9"]
        await click(browser, "tbody .acknowledge")
        await fill(browser, "anna", "planned for Monday")
        await pictures(browser, tmp_path, "acknowledge")
        await click(browser, ".acknowledging .confirm")
        # What nobody has seen is first now.
        await browser.until(f"{NAMES}[0] == 'fan-5' && {NAMES}[1] == 'fan-2'")
        assert await browser.value(f"{SEEN}.checkVisibility()") is False
        assert (await browser.value(STATES))[:2] == ["alarm", "alarm"]
        for sensor, by in {"de": "anna", "gear": "anna", "nde": None}.items():
            seen = channel_of(plant, "fan-2", sensor).acknowledged
            assert (seen and seen.by) == by
        await click(browser, "tbody tr:nth-child(2) .unfold")
        await browser.until(f"{LINES}.length == 15")
        seen_lines = "[...document.querySelectorAll('tbody .seen')].filter(one => one.checkVisibility())"
        assert await browser.value(f"{seen_lines}.map(one => one.innerText)") == ["✓ anna"] * 3
        # The name is kept for the next one.
        await click(browser, "tbody .acknowledge")
        assert await browser.value("document.querySelector('.acknowledging [name=by]').value") == "anna"
        await click(browser, ".acknowledging .cancel")
        await pictures(browser, tmp_path, "acknowledged")
        # Grafana's dashboard of what is shown.
        link = "document.querySelector('#grafana')"
        assert await browser.value(f"{link}.href") == "https://grafana.example.com/d/vibration-fleet"
        await browser.open(f"{address}#/channel?machine=fan-2&sensor=de&axis=x")
        await browser.until(f"{link}.href.endsWith('/d/vibration-machine?var-machine=fan-2&var-sensor=de&var-axis=x')")
        await browser.until("/^✓ acknowledged by anna/.test(document.querySelector('.acknowledged').innerText)")
        await pictures(browser, tmp_path, "acknowledged-channel")

    async def main() -> None:
        settings = Http.model_validate({"grafana_url": "https://grafana.example.com/"})
        plant.config = plant.config.model_copy(update={"http": settings})
        async with TestServer(make_app(plant, settings)) as server, chromium() as browser:
            await browser.size(1280, 800)
            await asyncio.wait_for(story(browser, str(server.make_url("/"))), 240)
            assert browser.complaints == []

    asyncio.run(main())
