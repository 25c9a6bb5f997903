"""The baseline of a channel on the live page, in a real browser: seen, and changed with a reason."""

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from monitor.config.configuration import Http
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.runtime.baselines.history import History, Source
from monitor.runtime.intake.channel import Progress
from monitor.runtime.web.server import make_app
from tests.support.browser import Browser, chromium
from tests.support.channels.healthy import at_load, blind, calibrated, healthy_calibration
from tests.support.page.page_plant import EchoEngine, Plant

pytestmark = pytest.mark.system

MACHINE = "a[1] <b>bold"
LABELS = {"machine": MACHINE, "sensor": "de", "axis": "x"}
MODEL = "ab" * 32


def several_conditions() -> Calibration:
    loads = (0.0, 0.5, 1.0)
    stretches = [blind(at_load(load, 600, 3 + number)) for number, load in enumerate(loads)]
    return calibrated(stretches, quantities=[{"load": np.full(600, 100 * load)} for load in loads])


def text(selector: str) -> str:
    return f"document.querySelector('.baseline {selector}')?.innerText"


async def fill(browser: Browser, name: str, value: str) -> None:
    await browser.value(f"document.querySelector('.baseline [name={name}]').value = {value!r}")


async def click(browser: Browser, selector: str) -> None:
    await browser.value(f"document.querySelector('.baseline {selector}').click()")


async def pictures(browser: Browser) -> None:
    """Of the panel, light, dark and on a phone, where PAGE_PICTURES names a folder for people who want to look."""
    folder = os.environ.get("PAGE_PICTURES")
    if not folder:
        return
    for name, dark, width in (("light", False, 1280), ("dark", True, 1280), ("phone", False, 390)):
        await browser.scheme("dark" if dark else "light")
        await browser.size(width, 1150, mobile=width < 500)
        await browser.until(f"innerWidth == {width}")
        picture = await browser.screenshot(whole=True)
        await asyncio.to_thread(Path(folder, f"baseline-{name}.png").write_bytes, picture)
    await browser.size(1280, 1150)


def test_a_baseline_is_seen_and_changed_with_a_reason(tmp_path: Path) -> None:
    plant = Plant(16, 4000.0, EchoEngine(), state_dir=tmp_path / "state")
    plant.send(MACHINE, plant.noise(8000))
    store = plant.baselines.store
    store.learned(LABELS, healthy_calibration(400), model_sha256=MODEL, source=Source(1.69e9, 1.69e9 + 86400))
    conditions = several_conditions()
    store.learned(LABELS, conditions, model_sha256=MODEL, source=Source(1.7e9, 1.7e9 + 86400, provisional=True))

    async def story(browser: Browser, address: str) -> None:
        await browser.size(1280, 1150)
        await browser.open(f"{address}#/channel?machine=a%5B1%5D%20%3Cb%3Ebold&sensor=de&axis=x")
        await browser.until(f"/baseline 2, provisional/.test({text('.baseline-facts')})")
        facts = await browser.value(text(".baseline-facts"))
        assert f"{len(conditions.prototypes)} learned, load 0 to 100" in facts
        assert "dB within 1m" in facts
        rows = await browser.value("document.querySelectorAll('.baseline .profile').length")
        count = len(conditions.prototypes)
        assert rows == count + 1 > 2  # the last one is the present
        # Where the machine is among its conditions, which are in the order of their load.
        names = await browser.value("[...document.querySelectorAll('.profile > :first-child')].map(e => e.innerText)")
        assert names == [f"load {load:g}" for load in sorted(conditions.values[:, 0])] + ["present"]
        shares = "[...document.querySelectorAll('.profile b')].map(one => one.innerText)"
        assert await browser.value(shares) == ["\N{EN DASH}"] * count + [""]
        present = "document.querySelector('.profile.present').checkVisibility()"
        assert not await browser.value(present)
        plant.ingest.channels[MACHINE, "de", "x"].calibration = conditions
        weights = plant.lane.board.weights[plant.ingest.channels[MACHINE, "de", "x"].row]
        weights[:count] = 0.0
        lowest, highest = conditions.values[:, 0].argmin(), conditions.values[:, 0].argmax()
        weights[lowest], weights[highest] = 0.3, 0.7
        await browser.until(f"{shares}[0] == '30 %'")
        assert await browser.value(shares) == ["30 %"] + ["0 %"] * (count - 2) + ["70 %", ""]
        assert await browser.value(present)
        told = await browser.value("document.querySelector('.profiles').getAttribute('aria-label')")
        assert {"30 % load 0", "70 % load 100"} <= set(told.split("The machine is at: ")[1].split(", "))
        # How far its learning is, and that the machine moves away.
        channel = plant.ingest.channels[MACHINE, "de", "x"]
        curve = (0.4, 0.3, 0.2, 0.3, 0.95, 1.4)
        left_out = {"stopped": 12, "settling": 3}
        channel.learning = Progress(0.45, 272_160.0, "gathering", True, curve, (), left_out)
        await browser.until(f"/45 %, 3.15 days of running; collects/.test({text('.learning-facts')})")
        facts = await browser.value(text(".learning-facts"))
        assert "12 stopped, 3 settling" in facts
        assert "like nothing before" in facts
        bars = "[...document.querySelectorAll('.novelty i')].map(bar => bar.className)"
        assert await browser.value(bars) == ["", "", "", "", "new", "new"]
        await pictures(browser)
        channel.learning = None
        await browser.until("!document.querySelector('.learning-facts').checkVisibility()")
        assert await browser.value(bars) == []
        weights[:count] = np.nan  # as after a refused interval
        await browser.until(f"{shares}[0] == '\N{EN DASH}'")
        assert not await browser.value(present)
        buttons = "[...document.querySelectorAll('.baseline .actions button')].map(one => one.innerText)"
        assert await browser.value(buttons) == ["Accept", "Revert"]  # nothing learns here
        # Without a reason nothing happens.
        await click(browser, "[data-action=revert]")
        await fill(browser, "by", "anna")
        await click(browser, ".confirm")
        assert await browser.value("document.querySelector('.baseline dialog').open")
        assert len(history().changes) == 2
        await click(browser, ".cancel")
        assert not await browser.value("document.querySelector('.baseline dialog').open")
        await click(browser, "[data-action=accept]")
        await fill(browser, "reason", "inspected <b>today")
        await click(browser, ".confirm")
        await browser.until(f"/baseline 2, locked/.test({text('.baseline-facts')})")
        await browser.until(f"/accepted by anna, baseline 2: inspected <b>today/.test({text('.changes li')})")
        await click(browser, "[data-action=revert]")
        await fill(browser, "reason", "wrong")
        await click(browser, ".confirm")
        await browser.until(f"/baseline 1, locked/.test({text('.baseline-facts')})")
        assert await browser.value("document.querySelectorAll('.baseline .profile').length") == 0
        assert await browser.value(buttons) == ["Accept"]
        # What the server refuses is told in the dialog.
        await click(browser, "[data-action=accept]")
        await fill(browser, "reason", " ")
        await click(browser, ".confirm")
        await browser.until(f"/reason: it must be one line/.test({text('.refused')})")
        # The browser itself reports the refusal.
        browser.complaints[:] = [one for one in browser.complaints if "status of 400" not in one]
        assert browser.complaints == []

    def history() -> History:
        found = store.history(LABELS)
        assert found is not None
        return found

    async def main() -> None:
        async with TestServer(make_app(plant, Http())) as server, chromium() as browser:
            await asyncio.wait_for(story(browser, str(server.make_url("/"))), 240)

    asyncio.run(main())
    assert [(one.what, one.by) for one in history().changes[2:]] == [("accepted", "anna"), ("reverted", "anna")]
