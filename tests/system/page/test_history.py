"""The history on a channel's page in a real browser: hours, days and weeks, alarms with what was captured, the healthy
spectrum behind the present one."""

import asyncio
import json
import time
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from monitor.config.configuration import Http
from monitor.runtime.alarms.capture_names import evidence_stem
from monitor.runtime.history.cells import QUANTITIES
from monitor.runtime.history.desk import identity_of
from monitor.runtime.history.episodes import Episode
from monitor.runtime.history.healthy import SAMPLES
from monitor.runtime.web.server import make_app
from tests.support.browser import chromium
from tests.support.page.page_plant import EchoEngine, Plant
from tests.system.page.test_browser import FAULTY, RATE_HZ, SIDEWAYS, feed, picture_folder

pytestmark = pytest.mark.system

NAME = f"{FAULTY}/de/x"
DAYS = 3


def remembered(plant: Plant, now_s: float) -> None:
    """Three days in which the score grows from 0.2, with an hour of silence; two alarms, the second goes on."""
    desk, identity = plant.history, identity_of(plant.config.label_names, (FAULTY, "de", "x"))
    minutes = DAYS * 1440
    for at in range(minutes):
        then_s = now_s - 60.0 * (minutes - at)
        if 120 < minutes - at < 180:
            continue
        growth = at / minutes
        figures = {"score": 0.2 + 2.0 * growth**4, "rms": 1.0 + growth, "gap_ratio": 0.3}
        figures |= {"velocity_rms": 4e-3 + 1e-3 * growth, "condition_distance": np.nan}
        values = np.array([[figures[name] for name in QUANTITIES]], np.float32)
        values = np.abs(values * (1.0 + 0.05 * np.sin(at)))
        desk._store.add(desk._store.places([identity], then_s), values, then_s)
    for start_s, end_s, peak in ((now_s - 15 * 3600, now_s - 14 * 3600, 1.3), (now_s - 3600, None, 3.31)):
        desk._episodes._of.setdefault(identity, []).append(  # type: ignore[arg-type]
            Episode(start_s, end_s, peak, start_s + 60, "alarm")
        )
    rng = np.random.default_rng(0)
    sine = np.sin(2 * np.pi * np.arange(SAMPLES) * 3 / 100) + 0.1 * rng.normal(size=SAMPLES)
    place = int(desk._store.places([identity], now_s)[0])
    desk._healthy.take(place, "", RATE_HZ, sine.astype(np.float32), now_s - 86400)


def test_the_past_of_a_channel(tmp_path: Path) -> None:
    folder, state, now_s = picture_folder(tmp_path), tmp_path / "state", time.time()
    (state / "evidence").mkdir(parents=True)
    for at_s in (now_s - 3600, now_s - 1800, 0.0):
        for suffix in ("npz", "png"):
            (state / "evidence" / f"{evidence_stem(NAME, at_s)}.{suffix}").write_bytes(b"data")
    courses = "document.querySelector('.courses')"

    async def main() -> None:
        plant = Plant(16, RATE_HZ, EchoEngine(), state_dir=state)
        remembered(plant, now_s)
        feeding = asyncio.create_task(feed(plant, 0.0))
        keeping = asyncio.create_task(plant.history.run())
        try:
            async with TestServer(make_app(plant, Http())) as server, chromium() as browser:
                await browser.size(1280, 1000)
                await browser.open(f"{server.make_url('/')}#/channel?machine={FAULTY}&sensor=de&axis=x")
                await browser.until(f"{courses}.querySelectorAll('.scatterlayer path.js-line').length > 0")
                shown = await browser.value(f"{courses}.data.filter(t => !/: /.test(t.name)).map(t => t.name)")
                assert shown == ["score", "RMS, m/s²", "velocity, mm/s", "gap ratio"]
                score = await browser.value(f"Array.from({courses}.data.find(t => t.name == 'score').y)")
                assert len(score) > 1400
                shade = await browser.value(f"{courses}.data[0].y.filter(value => value === null).length")
                assert shade in {2, 3}  # before the hour of silence and after it, and the present minute
                # The hour of silence is a gap.
                assert sum(value is None for value in score[-181:-119]) >= 55
                assert await browser.value(f"{courses}.layout.shapes.filter(s => s.type == 'rect').length") == 2
                # Ticks are at round times of the viewer's clock.
                ticks = await browser.value(f"[...{courses}.querySelectorAll('.xtick text')].map(t => t.textContent)")
                assert sum(tick[:5].endswith(":00") for tick in ticks) == len(ticks) > 2, ticks
                told = await browser.value("[...document.querySelectorAll('.trends li')].map(line => line.innerText)")
                assert told[0].startswith(("The score rises by 0.1 an hour (", "The score rises by 0.09")), told
                assert "an hour (" in told[0]
                assert told[1].startswith("The velocity rises by 0.01"), told
                assert await browser.value(f"{courses}.layout.shapes.filter(s => s.line?.dash == 'dot').length") == 2
                lines = "[...document.querySelectorAll('.files > li')].map(line => line.innerText)"
                await browser.until(f"{lines}.length == 3")
                open_one, ended, forgotten = await browser.value(lines)
                assert open_one.startswith("alarm ")
                assert "to now" in open_one
                assert "peak 3.31" in open_one
                assert open_one.count("captured") == 2
                assert "60 min" in ended
                assert "captured" not in ended
                assert forgotten.startswith("captured")
                await browser.until("!document.querySelector('.keys .healthy').hidden")
                await browser.until("document.querySelector('.spectrum').data?.map(t => t.name).join() == "
                                    "'healthy,residual,forecast,measured'")  # fmt: skip
                for scheme in ("light", "dark"):
                    await browser.scheme(scheme)
                    await asyncio.sleep(0.5)  # a picture in the new colours
                    (folder / f"past-{scheme}.png").write_bytes(await browser.screenshot(whole=True))
                for over, cells in (("days", 4 * 24 * DAYS), ("weeks", 4 * DAYS)):
                    await browser.value(f"document.querySelector('[data-over={over}]').click()")
                    await browser.until(f"Math.abs({courses}.data.at(-1).y.length - {cells}) <= 2")
                    (folder / f"past-{over}.png").write_bytes(await browser.screenshot(whole=True))
                await browser.size(390, 844, mobile=True)
                await browser.until("innerWidth == 390")
                await browser.until(f"{courses}.querySelector('svg').clientWidth < 390")
                assert not await browser.value(SIDEWAYS)
                (folder / "past-phone.png").write_bytes(await browser.screenshot(whole=True))
                assert browser.complaints == []
        finally:
            for task in (feeding, keeping):
                task.cancel()
            await asyncio.gather(feeding, keeping, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 180))


def test_without_a_state_directory_the_page_says_what_is_missing() -> None:
    async def main() -> None:
        plant = Plant(16, RATE_HZ, EchoEngine())
        feeding = asyncio.create_task(feed(plant, 0.0))
        try:
            async with TestServer(make_app(plant, Http())) as server, chromium() as browser:
                await browser.open(f"{server.make_url('/')}#/channel?machine={FAULTY}&sensor=de&axis=x")
                none = "document.querySelector('.past .none')?.innerText"
                await browser.until(f"{none} == 'History needs state_dir in the configuration.'")
                healthy = "fetch('api/v1/history/healthy?channel=fan-2/de/x').then(answer => answer.text())"
                document = json.loads(await browser.value(healthy))
                assert (document["stretches"], b64decode(document["spectrum"])) == (0, b"")
                assert browser.complaints == []
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 120))
