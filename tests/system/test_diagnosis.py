"""Naming at the alarm: simulated fans with a spalled race or a fault of the shaft, over a real broker.

What is named is followed to metrics, event, capture and page.
"""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiomqtt
import numpy as np
import pytest
from matplotlib.image import imread

from monitor.simulation.machine import FaultKind
from tests.faults.alarms.alert_plant import Feed, Machine, calibrate_fan
from tests.support.browser import chromium
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import get, mosquitto, wait_for

pytestmark = pytest.mark.system

CONFIGURATION = """\
mqtt: {{url: 'mqtt://127.0.0.1:{port}', events_topic: events}}
models: {{default: models/demo}}
sensors:
  - topic: 'plant/{{machine}}/{{sensor}}/{{axis}}'
    payload: {{format: float32}}
    sampling_rate_hz: 12000
    calibration: '{folder}/fan.calibration'
    machine:
      speed_rpm: 1488
      bearings: {{drive end: {{balls: 9, ball_diameter: 0.2, pitch_diameter: 1}}}}
      blades: 8
  - topic: 'bare/{{machine}}/{{sensor}}/{{axis}}'
    payload: {{format: float32}}
    sampling_rate_hz: 12000
limits: {{channels: 32, buffer: 2s}}
evidence: {{before: 1s, after: 1s}}
state_dir: '{folder}/state'
"""


def query(machine: str) -> str:
    return urlencode({"machine": machine, "sensor": "de", "axis": "x"})


def asked(daemon: RunningDaemon, machine: str, method: str = "GET") -> dict[str, Any]:
    request = urllib.request.Request(f"{daemon.address}/api/v1/diagnosis?{query(machine)}", method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def retained(port: int, topic: str) -> dict[str, Any]:
    async def story() -> dict[str, Any]:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe(topic)
            async for message in client.messages:
                event: dict[str, Any] = json.loads(bytes(message.payload))
                return event
        raise AssertionError("nothing is retained")

    return asyncio.run(asyncio.wait_for(story(), 20))


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, dict[str, Machine], int, Path]]:
    folder = tmp_path_factory.mktemp("diagnosis")
    calibrate_fan(folder)
    machines = {
        "healthy": Machine("plant/healthy/de/x", 1),
        "failing": Machine("plant/failing/de/x", 2),
        "bare": Machine("bare/bare/de/x", 3, damage=1.0),
    }
    with (
        mosquitto(folder) as port,
        running_daemon(folder, port, CONFIGURATION.format(folder=folder, port=port)) as daemon,
        Feed(port, machines),
    ):
        wait_for(lambda: len(daemon.values("vibration_acceleration_rms")) == len(machines), "all channels", 60)
        yield daemon, machines, port, folder


def test_a_fault_is_named_at_its_alarm(plant: tuple[RunningDaemon, dict[str, Machine], int, Path]) -> None:
    daemon, machines, port, folder = plant
    nothing = asked(daemon, "failing")
    assert (nothing["looks"], nothing["doing"]) == (0, "nothing")
    assert not daemon.values("vibration_fault_evidence")
    machines["failing"].damage = 1.0
    wait_for(lambda: daemon.value("vibration_alarm_state", machine="failing") == 2, "the alarm", 60)
    wait_for(lambda: daemon.values("vibration_fault_evidence", machine="failing"), "a name", 150)
    assert daemon.value("vibration_fault_evidence", machine="failing", fault="outer race", part="drive end") > 6
    hertz = daemon.value("vibration_fault_frequency_hertz", machine="failing", fault="outer race")
    assert hertz == pytest.approx(3.6 * 24.8, rel=0.01)
    assert not daemon.values("vibration_fault_evidence", machine="healthy")

    found = asked(daemon, "failing")
    assert [(one["fault"], one["part"]) for one in found["faults"]] == [("outer race", "drive end")]
    assert found["in_alarm"]
    assert found["shaft_hz"] == pytest.approx(24.8, rel=0.005)
    assert found["orders"]["outer race, drive end"] == pytest.approx(3.6)
    assert found["orders"]["blades"] == 8
    for name in ("spectrum", "envelope"):
        assert found[name]["step_hz"] > 0
        assert len(found[name]["values"]) > 1000

    # Further looks follow at once and count together with the first.
    more = wait_for(lambda: (seen := asked(daemon, "failing"))["looks"] >= 3 and seen, "three looks", 120)
    assert more["faults"][0]["named_looks"] == more["looks"]

    event = wait_for(
        lambda: (seen := retained(port, "events/failing/de/x")) and seen["diagnosis"] and seen,
        "the event with the name",
    )
    assert event["diagnosis"]["faults"][0]["fault"] == "outer race"
    assert " Named: outer race, drive end: " in event["text"]
    assert event["state"] in {"warning", "alarm"}

    def capture() -> dict[str, Any] | None:
        files = sorted((folder / "state" / "evidence").glob("*failing*.json"))
        about = json.loads(files[-1].read_text()) if files else {}
        return about if about.get("diagnosis") else None

    about = wait_for(capture, "the capture with the name", 120)
    assert about["diagnosis"]["faults"][0]["part"] == "drive end"
    assert "Named: outer race" in about["text"]
    picture = max((folder / "state" / "evidence").glob("*failing*.png"))
    wait_for(lambda: imread(picture).shape[0] >= 800, "the picture with the spectrum of the envelope")


def test_any_channel_is_looked_at_on_demand(plant: tuple[RunningDaemon, dict[str, Machine], int, Path]) -> None:
    daemon = plant[0]
    for method in ("GET", "POST"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(daemon, "nobody", method)
        assert refused.value.code == 404
        refused.value.close()
    for machine in ("healthy", "bare"):
        assert asked(daemon, machine, "POST")["doing"] in {"waiting", "listening"}

    def done(machine: str) -> dict[str, Any] | None:
        found = asked(daemon, machine)
        return found if found["doing"] == "done" and found["looks"] else None

    healthy = wait_for(lambda: done("healthy"), "the look at the healthy machine", 90)
    assert healthy["faults"] == []
    assert healthy["reason"]
    # Without a speed the rate of the impacts is reported; the channel has no calibration, so no alarm either.
    bare = wait_for(lambda: done("bare"), "the look at the machine without facts", 90)
    assert bare["faults"] == []
    assert "without a speed" in bare["reason"]
    assert np.min(np.abs(np.array(bare["repetition_rates_hz"]) - 3.6 * 24.8)) < 1.0
    assert not daemon.values("vibration_fault_evidence", machine="bare")


def test_what_a_foreign_page_asks_is_refused(plant: tuple[RunningDaemon, dict[str, Machine], int, Path]) -> None:
    daemon = plant[0]
    request = urllib.request.Request(
        f"{daemon.address}/api/v1/diagnosis?{query('healthy')}",
        method="POST",
        headers={"Origin": "http://evil.example"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403
    refused.value.close()
    assert get(f"{daemon.address}/-/healthy")


def test_the_page_shows_the_name_and_cursors_that_can_be_moved(
    plant: tuple[RunningDaemon, dict[str, Machine], int, Path], tmp_path: Path
) -> None:
    """After the alarm of the test above."""
    daemon = plant[0]
    base = "Number(document.querySelector('.diagnosis input').value)"
    places = "document.querySelector('.diagnosis .envelope-lines').layout.shapes.map(shape => shape.x0)"

    async def story() -> None:
        async with chromium() as browser:
            await browser.size(1280, 1150)
            await browser.open(f"{daemon.address}/#/channel?{query('failing')}")
            await browser.until(
                "/outer race, drive end: 89/.test(document.querySelector('.diagnosis .named').innerText)"
            )
            for chart in ("envelope-lines", "spectrum-lines"):
                await browser.until(f"!!document.querySelector('.{chart} .scatterlayer path.js-line')")
            # The cursors begin at the named rate, on the highest line of the envelope.
            rate_hz = await browser.value(base)
            assert rate_hz == pytest.approx(3.6 * 24.8, rel=0.01)
            assert await browser.value(places) == pytest.approx([k * rate_hz for k in range(1, 9)], rel=1e-4)
            highest = (
                "(({x, y}) => x[Array.from(y).indexOf(Math.max(...y))])"
                "(document.querySelector('.diagnosis .envelope-lines').data[0])"
            )
            multiple = await browser.value(highest) / rate_hz
            assert multiple == pytest.approx(round(multiple), abs=0.02)
            (tmp_path / "diagnosis.png").write_bytes(await browser.screenshot(whole=True))
            # The second cursor is dragged; the others follow.
            await browser.value(
                "Plotly.relayout(document.querySelector('.diagnosis .envelope-lines'), {'shapes[1].x0': 100})"
                ".then(() => 1)"
            )
            await browser.until(f"{base} == 50")
            assert await browser.value(places) == pytest.approx([50.0 * k for k in range(1, 9)])
            # Orders instead of Hz.
            await browser.value("document.querySelector('.diagnosis .unit').click()")
            await browser.until(f"Math.abs({base} - 50 / 24.8) < 0.02")
            # A rate that the facts give.
            choose = (
                "(list => { list.value = [...list.options].find(o => o.text.startsWith('blades')).value;"
                " list.dispatchEvent(new Event('change')) })(document.querySelector('.diagnosis select'))"
            )
            await browser.value(choose)
            await browser.until(f"{base} == 8")
            await browser.open("about:blank")
            await browser.open(f"{daemon.address}/#/channel?{query('healthy')}")
            await browser.until("document.querySelector('.diagnosis .about').innerText.length > 5")
            assert await browser.value("document.querySelectorAll('.diagnosis .named li').length") == 0
            await browser.value("document.querySelector('.diagnosis .look').click()")
            await browser.until("/Now (waiting|listening)/.test(document.querySelector('.diagnosis .about').innerText)")
            assert browser.complaints == []

    asyncio.run(asyncio.wait_for(story(), 120))


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "kind", "size"),
    [
        ("imbalance", FaultKind.UNBALANCE, 0.4),
        ("misalignment", FaultKind.MISALIGNMENT, 0.4),
        ("looseness", FaultKind.LOOSENESS, 0.6),
    ],
)
def test_a_fault_of_the_shaft_is_named_against_the_healthy_look(
    tmp_path: Path, fault: str, kind: FaultKind, size: float
) -> None:
    """The daemon looks at the fan while it is healthy, and names what has risen since; sizes are 3 to 5 m/s²."""
    calibrate_fan(tmp_path)
    machine = Machine("plant/fan/de/x", 21, kind=kind)
    with (
        mosquitto(tmp_path) as port,
        running_daemon(tmp_path, port, CONFIGURATION.format(folder=tmp_path, port=port)) as daemon,
        Feed(port, {"fan": machine}),
    ):
        wait_for(lambda: list((tmp_path / "state" / "diagnosis").glob("*.json")), "the look at the healthy fan", 200)
        assert not daemon.values("vibration_fault_evidence")
        machine.damage = size
        wait_for(lambda: daemon.value("vibration_alarm_state", machine="fan") == 2, "the alarm", 60)
        event = wait_for(lambda: _event_with_a_name(port, "events/fan/de/x"), "a name", 150)
        assert f" Named: {fault}, shaft: " in event["text"]
        assert [one["fault"] for one in event["diagnosis"]["faults"]] == [fault]
        assert daemon.value("vibration_fault_evidence", machine="fan", fault=fault, part="shaft") > 3


def _event_with_a_name(port: int, topic: str) -> dict[str, Any] | None:
    """The retained event, once it names something; before an alarm nothing is retained."""
    event = retained(port, topic)
    return event if event["diagnosis"] and event["diagnosis"]["faults"] else None
