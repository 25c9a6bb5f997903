"""The live page in a real browser: what it shows, that it asks nobody else, and how it looks."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from monitor.bench.alone import bench_calibration
from monitor.config.configuration import Http
from monitor.core.learning.sensitivity import stated
from monitor.runtime.alarms.capture_names import evidence_stem
from monitor.runtime.web.page import assets
from monitor.runtime.web.server import make_app
from tests.support.browser import Browser, chromium
from tests.support.page.page_plant import EchoEngine, Plant

pytestmark = pytest.mark.system

RATE_HZ = 4000.0
MACHINES = ("fan-1", "fan-2", "pump-1", "<script>alert(1)", "a&b <b>bold")
FAULTY = "fan-2"
STUCK = "pump-1"

Story = Callable[[Browser, str], Awaitable[None]]


async def feed(plant: Plant, fault_from_s: float, *, watched: bool = False) -> None:
    """Periodic vibration of every machine in real time; one develops impacts, one falls silent after a second.

    The scores are the test's, the figures and forecasts the pipeline's.
    """
    rng = np.random.default_rng(0)
    calibration = bench_calibration(100, RATE_HZ) if watched else None
    began_s, sent, score = time.monotonic(), 0, 0.3
    while True:
        count = 400
        at = np.arange(sent, sent + count)
        for machine in MACHINES:
            if machine == STUCK and sent > RATE_HZ:
                continue
            signal = np.sin(2 * np.pi * at * 3 / 100) + 0.1 * rng.normal(size=count)
            if machine == FAULTY and sent > fault_from_s * RATE_HZ:
                signal += 3 * np.exp(-(at % 337) / 20) * np.sin(2 * np.pi * at * 0.27)
            plant.send(machine, signal.astype(np.float32))
            if calibration is not None:
                plant.ingest.channels[machine, "de", "x"].calibration = calibration
            plant.judge(machine, score if machine == FAULTY else 0.2)
        if sent > fault_from_s * RATE_HZ:
            score = min(2.6, score + 0.15)
        sent += count
        await asyncio.sleep(max(0.0, began_s + sent / RATE_HZ - time.monotonic()))


def shown(story: Story, state_dir: Path | None = None, fault_from_s: float = 0.0) -> None:
    """Run a story with a fed plant, its page, and a browser; no console error, no outside request."""

    async def main() -> None:
        plant = Plant(16, RATE_HZ, EchoEngine(), state_dir=state_dir)
        plant.silent_after_s = 4.0
        feeding = asyncio.create_task(feed(plant, fault_from_s, watched=True))
        try:
            async with TestServer(make_app(plant, Http())) as server, chromium() as browser:
                address = str(server.make_url("/"))
                await asyncio.wait_for(story(browser, address), 120)
                assert browser.complaints == []
                outside = [url for url in browser.requests if not url.startswith((address, "data:", "blob:"))]
                assert outside == []
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    asyncio.run(main())


def picture_folder(tmp_path: Path) -> Path:
    """Where pictures go: PAGE_PICTURES, for people who want to look at them, or the test's own folder."""
    folder = Path(os.environ.get("PAGE_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


FIRST_NAME = "document.querySelector('tbody tr th')?.innerText"
SIDEWAYS = "document.documentElement.scrollWidth > innerWidth"


def test_the_fleet(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path)

    async def story(browser: Browser, address: str) -> None:
        await browser.size(1280, 800)
        await browser.open(address)
        await browser.until(f"document.querySelectorAll('tbody tr').length == {len(MACHINES)}")
        # It began like all others, and climbs to the top when its fault begins.
        await browser.until(f"{FIRST_NAME} == '{FAULTY} / de / x'")
        await browser.until("document.querySelector('tbody .state').innerText == '▲ alarm'")
        await browser.until(f"[...document.querySelectorAll('tr')].some(r => /silent[^]*{STUCK}/.test(r.innerText))")
        words = "[...document.querySelectorAll('tbody .state')].map(e => e.innerText.slice(2)).sort().join()"
        assert await browser.value(words) == "alarm,silent,watched,watched,watched"
        names = await browser.value("[...document.querySelectorAll('tbody th')].map(cell => cell.innerText)")
        assert {name.removesuffix(" / de / x") for name in names} == set(MACHINES)
        assert await browser.value("document.querySelectorAll('tbody script, tbody b b').length") == 0
        await browser.until("document.querySelector('tbody polyline').getAttribute('points').split(' ').length > 2")
        await browser.value("(box => { box.value = 'PUMP'; box.dispatchEvent(new Event('input')) })"
                            "(document.querySelector('input'))")  # fmt: skip
        await browser.until("document.querySelectorAll('tbody tr').length == 1")
        await browser.value("(box => { box.value = ''; box.dispatchEvent(new Event('input')) })"
                            "(document.querySelector('input'))")  # fmt: skip
        await browser.value("document.querySelector('.chip[data-state=silent]').click()")
        await browser.until("document.querySelectorAll('tbody tr').length == 1")
        await browser.value("document.querySelector('.chip[data-state=silent]').click()")
        await browser.until(f"document.querySelectorAll('tbody tr').length == {len(MACHINES)}")
        for scheme in ("light", "dark"):
            await browser.scheme(scheme)
            (folder / f"fleet-{scheme}.png").write_bytes(await browser.screenshot())
        await browser.size(390, 844, mobile=True)
        await browser.until("innerWidth == 390")
        assert not await browser.value(SIDEWAYS)
        (folder / "fleet-phone.png").write_bytes(await browser.screenshot())

    shown(story, fault_from_s=3.0)


def test_a_channel(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path)

    async def story(browser: Browser, address: str) -> None:
        await browser.size(1280, 1150)
        # The address of a view can be shared.
        await browser.open(f"{address}#/channel?machine={FAULTY}&sensor=de&axis=x")
        for chart in ("wave", "residual", "spectrum", "history"):
            await browser.until(f"!!document.querySelector('.{chart} .scatterlayer path.js-line')")
        traces = "document.querySelector('.wave').data.map(trace => Array.from(trace.y))"
        measured, forecast = (np.array(values) for values in await browser.value(traces))
        assert measured.size == forecast.size > 200
        # The fault shows: the forecast is far off.
        assert np.square(measured - forecast).mean() > 0.3 * np.square(measured).mean()
        first = await browser.value("document.querySelector('.wave').data[0].y[0]")
        await browser.until(f"document.querySelector('.wave').data[0].y[0] != {first}")
        await browser.value("document.querySelector('.pause').click()")
        held = await browser.value("document.querySelector('.wave').data[0].y[0]")
        await asyncio.sleep(0.8)  # of which nothing is to be seen: longer than a picture takes
        assert await browser.value("document.querySelector('.wave').data[0].y[0]") == held
        await browser.value("document.querySelector('.pause').click()")
        await browser.until(f"document.querySelector('.wave').data[0].y[0] != {held}")
        await browser.until("document.querySelector('.files a')?.innerText == 'npz 4 B'")
        href = "fetch(document.querySelector('.files a').href).then(answer => answer.text())"
        assert await browser.value(href) == "data"
        await browser.until("document.querySelectorAll('.driver').length == 6")
        assert await browser.value("document.querySelector('.driver').innerText") == "energy in a frequency band\n2.60"
        await browser.until("/^Band that .* 500 to 600 Hz/.test(document.querySelector('.band').innerText)")
        await browser.until("document.querySelector('.history').data[0].name == 'score'")
        for scheme in ("light", "dark"):
            first = await browser.value("document.querySelector('.wave').data[0].y[0]")
            await browser.scheme(scheme)
            # The charts are drawn anew with the next picture.
            await browser.until(f"document.querySelector('.wave').data[0].y[0] != {first}")
            (folder / f"channel-{scheme}.png").write_bytes(await browser.screenshot(whole=True))
        await browser.size(390, 844, mobile=True)
        await browser.until("innerWidth == 390")
        await browser.until("document.querySelector('.wave svg').clientWidth < 390")
        assert not await browser.value(SIDEWAYS)
        (folder / "channel-phone.png").write_bytes(await browser.screenshot(whole=True))

    (tmp_path / "state" / "evidence").mkdir(parents=True)
    (tmp_path / "state" / "evidence" / f"{evidence_stem(f'{FAULTY}/de/x', 0.0)}.npz").write_bytes(b"data")
    shown(story, state_dir=tmp_path / "state")


def test_without_the_chart_library_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "chart_library", lambda: None)

    async def story(browser: Browser, address: str) -> None:
        await browser.open(f"{address}#/channel?machine={FAULTY}&sensor=de&axis=x")
        note = "document.querySelector('.note').innerText"
        await browser.until(f"/^Charts need the Python package plotly/.test({note})")
        await browser.until("document.querySelectorAll('.driver').length == 6")
        # Why a channel has no score stays to be read beside it.
        await browser.open(f"{address}#/channel?machine={STUCK}&sensor=de&axis=x")
        await browser.until(f"/^No samples arrive.* Charts need the Python package plotly/.test({note})")
        # The browser itself reports the file that is not there.
        browser.complaints[:] = [text for text in browser.complaints if "plotly.min.js" not in text]

    shown(story)


def test_measured_quantities_stand_beside_the_figures() -> None:
    speed = {"topic": "plant/{machine}/speed", "payload": {"format": "number"}, "max_age": "60s"}

    def figure(text: str) -> str:
        boxes = "[...document.querySelectorAll('.figures div')]"
        return f"{boxes}.some(box => /^speed rpm\\s+{text}$/.test(box.innerText))"

    async def main() -> None:
        plant = Plant(16, RATE_HZ, EchoEngine(), conditions={"speed_rpm": speed})
        feeding = asyncio.create_task(feed(plant, 0.0))
        try:
            async with TestServer(make_app(plant, Http())) as server, chromium() as browser:
                await browser.open(f"{server.make_url('/')}#/channel?machine={FAULTY}&sensor=de&axis=x")
                await browser.until(figure("\\S"))
                calibration = bench_calibration(100, RATE_HZ)
                values = np.full((len(calibration.prototypes), 1), 1480.0)
                plant.ingest.channels[FAULTY, "de", "x"].calibration = replace(
                    calibration, quantities=("speed_rpm",), values=values, ranges=np.array([[1480.0, 1480.0]])
                )
                without = "/^Scored without speed rpm: no/.test(document.querySelector('.note').innerText)"
                await browser.until(without)
                plant.ingest.deliver(f"plant/{FAULTY}/speed", b"1480")
                await browser.until(figure("1480"))
                await browser.until(f"!{without}")
                plant.ahead_s += 61.0
                await browser.until(figure("stale"))
                assert browser.complaints == []
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 120))


def test_what_a_calibration_sees_stands_under_the_spectrum(tmp_path: Path) -> None:
    folder, calibration = picture_folder(tmp_path), bench_calibration(100, RATE_HZ)
    line = "document.querySelector('.spectrum + .sensitivity')"

    async def main() -> None:
        plant = Plant(16, RATE_HZ, EchoEngine())
        feeding = asyncio.create_task(feed(plant, 0.0))
        try:
            async with TestServer(make_app(plant, Http())) as server, chromium() as browser:
                await browser.size(1280, 1150)
                await browser.open(str(server.make_url("/")))
                await browser.until(f"{FIRST_NAME} == '{FAULTY} / de / x'")
                plant.ingest.channels[FAULTY, "de", "x"].calibration = calibration
                await browser.open(f"{server.make_url('/')}#/channel?machine={FAULTY}&sensor=de&axis=x")
                await browser.until(f"{line}?.checkVisibility()")
                assert (await browser.value(f"{line}.innerText"))[1:] == f"{stated(calibration)}."[1:]
                await browser.until("!!document.querySelector('.spectrum .scatterlayer path.js-line')")
                (folder / "channel-sensitivity.png").write_bytes(await browser.screenshot(whole=True))
                await browser.open(f"{server.make_url('/')}#/channel?machine=fan-1&sensor=de&axis=x")
                await browser.until("/none; make one/.test(document.querySelector('.facts')?.innerText)")
                assert not await browser.value(f"{line}.checkVisibility()")
                assert browser.complaints == []
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 120))


def test_with_the_keyboard_alone() -> None:
    async def story(browser: Browser, address: str) -> None:
        await browser.open(address)
        await browser.until(f"{FIRST_NAME} == '{FAULTY} / de / x'")
        for _ in range(40):
            await browser.press("Tab", 9)
            if await browser.value("document.activeElement.matches('tbody a')"):
                break
        assert await browser.value("document.activeElement.innerText") == f"{FAULTY} / de / x"
        outline = await browser.value("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await browser.press("Enter", 13, "\r")
        await browser.until("location.hash.startsWith('#/channel?machine=')")
        await browser.until("!!document.querySelector('.figures dd')")
        assert await browser.value("document.title") == f"{FAULTY} / de / x · vibration-monitor"

    shown(story)


def test_a_name_is_text_everywhere() -> None:
    async def story(browser: Browser, address: str) -> None:
        await browser.open(address)
        await browser.until(f"document.querySelectorAll('tbody tr').length == {len(MACHINES)}")
        name = MACHINES[3]
        await browser.value(
            f"[...document.querySelectorAll('tbody a')].find(link => link.innerText.startsWith('{name}')).click()"
        )
        await browser.until(f"document.querySelector('h1').innerText == '{name} / de / x'")
        await browser.until("!!document.querySelector('.labels span')")
        await browser.until("document.querySelector('.figures div:last-child dd').innerText == 'now'")
        assert await browser.value("[...document.scripts].every(script => script.src)")

    shown(story)
