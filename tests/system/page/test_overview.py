"""The overview of the live page in a real browser: the order of a thousand channels, machines, filters, blindness."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from monitor.config.configuration import Http
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.plausibility import Refusal, code
from monitor.runtime.intake.channel import Channel, Progress
from monitor.runtime.web.server import make_app
from tests.support.browser import Browser, chromium
from tests.support.channels.healthy import healthy_calibration
from tests.support.daemons import running_daemon
from tests.support.page.page_plant import Plant
from tests.support.servers import free_port, mosquitto, publish

pytestmark = pytest.mark.system

Story = Callable[[Browser, str], Awaitable[None]]

LINES = "[...document.querySelectorAll('tbody tr')]"
NAMES = f"{LINES}.map(row => row.querySelector('th a, th button span').innerText)"
STATES = f"{LINES}.map(row => row.querySelector('.state').innerText.slice(2))"
SIDEWAYS = "document.documentElement.scrollWidth > innerWidth"
PROGRESS = Progress(0.4, 3600.0, "gathering", unsteady=False, curve=(), aside=(), left_out={})


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return healthy_calibration(400)


def plant_of(calibration: Calibration, machines: int, sensors: tuple[str, ...]) -> Plant:
    """Machines that are watched and healthy, with some figures of a running one."""
    plant = Plant(machines * len(sensors))
    for number in range(1, machines + 1):
        for sensor in sensors:
            machine = f"fan-{number}"
            plant.send(machine, plant.noise(80), sensor)
            plant.judge(machine, round(0.1 + 0.4 * plant.rng.random(), 2), sensor)
            channel = plant.ingest.channels[machine, sensor, "x"]
            channel.calibration = calibration
    board = plant.lane.board
    board.rms[:] = plant.rng.lognormal(0.0, 0.5, board.rms.size)
    board.gap_ratio[:] = plant.rng.uniform(0.05, 0.5, board.rms.size)
    board.coverage[:] = 1.0
    return plant


def channel_of(plant: Plant, machine: str, sensor: str = "de") -> Channel:
    return plant.ingest.channels[machine, sensor, "x"]


def refuse(plant: Plant, machine: str, why: Refusal, sensor: str = "de") -> None:
    plant.lane.board.refusal[channel_of(plant, machine, sensor).row] = code(why)


def one_of_each(plant: Plant) -> list[tuple[str, str]]:
    """Bring some machines into every state; returns the name and state of each, in the order of their importance."""
    for machine, score in {"fan-31": 5.0, "fan-32": 3.0, "fan-33": 0.8, "fan-34": 0.8}.items():
        plant.judge(machine, score)
    for machine in ("fan-32", "fan-34", "fan-37"):
        channel_of(plant, machine).away = True
    refuse(plant, "fan-35", Refusal.UNKNOWN_CONDITION)
    refuse(plant, "fan-36", Refusal.FLAT_LINE)
    channel_of(plant, "fan-38").calibration = None
    channel_of(plant, "fan-39").provisional = True
    channel_of(plant, "fan-39").learning = PROGRESS
    channel_of(plant, "fan-40").calibration = None
    channel_of(plant, "fan-40").learning = PROGRESS
    refuse(plant, "fan-42", Refusal.STOPPED)
    return [
        ("fan-31", "alarm"),
        ("fan-32", "alarm, silent"),
        ("fan-33", "warning"),
        ("fan-34", "warning, silent"),
        ("fan-35", "unknown condition"),
        ("fan-36", "unusable: flat line"),
        ("fan-37", "silent"),
        ("fan-38", "unusable: no calibration"),
        ("fan-39", "provisional"),
        ("fan-40", "learning"),
    ]


def shown(plant: Plant, story: Story, http: Http | None = None) -> None:
    """Run a story with the page of a plant; no console error, no outside request."""

    async def main() -> None:
        async with TestServer(make_app(plant, http or Http())) as server, chromium() as browser:
            address = str(server.make_url("/"))
            await browser.size(1280, 800)
            await asyncio.wait_for(story(browser, address), 240)
            assert browser.complaints == []
            assert [url for url in browser.requests if not url.startswith((address, "data:"))] == []

    asyncio.run(main())


async def pictures(browser: Browser, tmp_path: Path, name: str) -> None:
    """Light, dark, and as a phone shows it; into PAGE_PICTURES, for people who want to look at them."""
    folder = Path(os.environ.get("PAGE_PICTURES", tmp_path))
    for scheme in ("light", "dark"):
        await browser.scheme(scheme)
        (folder / f"{name}-{scheme}.png").write_bytes(await browser.screenshot())
    await browser.size(390, 844, mobile=True)
    await browser.until("innerWidth == 390")
    assert not await browser.value(SIDEWAYS)
    (folder / f"{name}-phone.png").write_bytes(await browser.screenshot())
    await browser.size(1280, 800)
    await browser.until("innerWidth == 1280")


async def click(browser: Browser, selector: str) -> None:
    await browser.value(f"document.querySelector({selector!r}).click()")


@pytest.mark.long
def test_the_worst_of_a_thousand_channels_stand_first(tmp_path: Path, calibration: Calibration) -> None:
    plant = plant_of(calibration, 250, ("de", "nde", "gear", "base"))
    worst = one_of_each(plant)

    async def story(browser: Browser, address: str) -> None:
        await browser.open(f"{address}#/?group-by=nothing")
        await browser.until(f"{LINES}.length == 100")
        named = [[f"{name} / de / x", state] for name, state in worst]
        seen = list(zip(await browser.value(NAMES), await browser.value(STATES), strict=True))
        assert [list(one) for one in seen[: len(named)]] == named
        assert {state for _, state in seen[len(named) :]} == {"watched"}
        # The rest by falling score.
        scores = await browser.value(f"{LINES}.slice(10).map(row => +row.querySelector('.c-score .number').innerText)")
        assert scores == sorted(scores, reverse=True)
        # A machine that stands is the last of all.
        await click(browser, ".more")
        await click(browser, ".more")
        await click(browser, ".more")
        await browser.until(f"{LINES}.length == 1000")
        assert (await browser.value(f"{STATES}.at(-1)"), await browser.value(f"{NAMES}.at(-1)")) == (
            "stopped",
            "fan-42 / de / x",
        )
        await browser.open(f"{address}#/")
        await browser.until("document.querySelectorAll('tr.machine').length > 50")
        heads = await browser.value(
            "[...document.querySelectorAll('tr.machine')].map(r => r.querySelector('th span').innerText)"
        )
        assert heads[:10] == [name for name, _ in worst]
        assert (
            await browser.value("document.querySelector('tr.machine th small').innerText")
            == "1 alarm (de / x), 3 watched"
        )
        await click(browser, "tr.machine .unfold")
        await browser.until("!!document.querySelector('tr.machine.open')")
        assert (await browser.value(NAMES))[:2] == ["fan-31", "de / x"]
        assert (await browser.value(NAMES))[5] == "fan-32"
        assert await browser.value("document.title") == "(2) vibration-monitor"
        await pictures(browser, tmp_path, "thousand")

    shown(plant, story)


def test_a_machine_unfolds_to_its_channels(calibration: Calibration) -> None:
    plant = plant_of(calibration, 12, ("de", "nde"))
    board = plant.lane.board
    plant.judge("fan-7", 0.45, "de")
    plant.judge("fan-7", 0.55, "nde")

    async def story(browser: Browser, address: str) -> None:
        await browser.open(address)
        await browser.until(f"{LINES}.length == 12")
        # A machine shows the worst of its channels.
        await browser.until(f"{NAMES}[0] == 'fan-7'")
        assert await browser.value("document.querySelector('tbody .c-score .number').innerText") == "0.55"
        values = [board.rms[channel_of(plant, "fan-7", sensor).row] for sensor in ("de", "nde")]
        assert float(await browser.value("document.querySelector('tbody .c-rms').innerText")) == pytest.approx(
            max(values), rel=0.01
        )
        await browser.value("document.querySelector('tbody .unfold').focus()")
        await browser.press("Enter", 13, "\r")
        await browser.until(f"{LINES}.length == 14")
        assert (await browser.value(NAMES))[:3] == ["fan-7", "nde / x", "de / x"]
        assert await browser.value("document.activeElement.getAttribute('aria-expanded')") == "true"
        await click(browser, "tbody tr:nth-child(2) a")
        await browser.until("document.querySelector('h1').innerText == 'fan-7 / nde / x'")
        # What a person unfolded stays so.
        await browser.until("!!document.querySelector('.figures dd')")
        await click(browser, "nav a")
        await browser.until(f"{LINES}.length == 14")
        await click(browser, "tbody .unfold")
        await browser.until(f"{LINES}.length == 12")

    shown(plant, story)


def test_every_column_sorts_and_the_address_says_so(calibration: Calibration) -> None:
    plant = plant_of(calibration, 6, ("de",))
    board, rows = plant.lane.board, [channel_of(plant, f"fan-{number}").row for number in range(1, 7)]
    board.rms[rows] = [3.0, 0.002, 12.0, 1.0, 0.5, 2.0]
    board.gap_ratio[rows] = [0.3, 0.2, 0.1, 0.6, 0.5, 0.4]
    board.coverage[rows] = [1.0, 0.9, 0.8, 0.7, 0.95, 0.85]
    for number, score in enumerate([0.11, 0.12, 0.13, 0.14, 0.15, 0.16], 1):
        plant.judge(f"fan-{number}", score)
    plant.judge("fan-5", 2.0)
    channel_of(plant, "fan-3").last_sample_s -= 30.0
    expected = {
        "state": "5 6 4 3 2 1",
        "name": "1 2 3 4 5 6",
        "score": "5 6 4 3 2 1",
        "ratio": "4 5 6 1 2 3",
        "rms": "3 1 6 4 5 2",
        "cover": "4 3 6 2 5 1",
    }

    async def order(browser: Browser) -> str:
        return " ".join(name.removeprefix("fan-").removesuffix(" / de / x") for name in await browser.value(NAMES))

    async def story(browser: Browser, address: str) -> None:
        await browser.open(address)
        await browser.until(f"{LINES}.length == 6")
        heads = await browser.value("[...document.querySelectorAll('thead th')].map(h => h.innerText.split('\\n'))")
        assert [head[1] for head in heads] == [
            "worst first", "machine / sensor / axis", "limit = 1", "last 2 min", "of energy", "m/s²", "%", "ago",
        ]  # fmt: skip
        for column, numbers in expected.items():
            await click(browser, f"th[data-column={column}] button")
            sorted_by = f"document.querySelector('th[data-column={column}]').getAttribute('aria-sort')"
            first = await browser.value(sorted_by)
            if column == "state":  # a click on what it is sorted by turns it round
                assert first == "descending"
                await click(browser, f"th[data-column={column}] button")
            assert await order(browser) == numbers, column
            await click(browser, f"th[data-column={column}] button")
            assert await browser.value(sorted_by) != (first if column != "state" else "ascending")
            assert f"sort-by={column}" in await browser.value("location.hash")
            if column in {"name", "ratio", "rms", "cover"}:
                assert await order(browser) == numbers[::-1], column
        # Longest without samples first; and a channel that comes from an address.
        await browser.open(f"{address}#/?sort-by=age")
        await browser.until(f"{NAMES}[0].startsWith('fan-3')")
        await browser.open(f"{address}#/?sort-by=line&sort-order=ascending")
        await browser.until("document.querySelector('.c-line').getAttribute('aria-sort') == 'ascending'")
        await browser.open(f"{address}#/?sort-by=nonsense")
        await browser.until("document.querySelector('.c-state').getAttribute('aria-sort') == 'ascending'")

    shown(plant, story)


def test_the_address_filters(calibration: Calibration) -> None:
    plant = plant_of(calibration, 12, ("de", "nde"))
    plant.judge("fan-2", 3.0)

    async def story(browser: Browser, address: str) -> None:
        # An alert about a machine links here.
        await browser.open(f"{address}#/?machine=fan-1")
        await browser.until(f"{LINES}.length == 3")
        names = await browser.value(NAMES)
        assert (names[0], set(names[1:])) == ("fan-1", {"de / x", "nde / x"})
        assert await browser.value("document.querySelector('.asked').innerText") == "machine: fan-1 ✕"
        # To a channel and back it stays.
        await click(browser, "tbody a")
        await browser.until("!!document.querySelector('.figures dd')")
        await click(browser, "nav a")
        await browser.until(f"{LINES}.length == 3")
        assert await browser.value("location.hash") == "#/?machine=fan-1"
        await click(browser, ".asked .chip")
        await browser.until(f"{LINES}.length == 12")
        assert await browser.value("location.hash") == "#/"
        # Typing and chips write the address, and it can be opened anew.
        await browser.value(
            "(box => { box.value = 'fan-2 nde'; box.dispatchEvent(new Event('input')) })"
            "(document.querySelector('.filter input'))"
        )
        assert await browser.value("location.hash") == "#/?with-text=fan-2+nde"
        assert await browser.value(NAMES) == ["fan-2 / nde / x"]
        await browser.open(f"{address}#/?machine=fan-2&machine=fan-3&in-state=watched&group-by=nothing")
        await browser.until(f"{LINES}.length == 3")
        assert set(await browser.value(NAMES)) == {"fan-2 / nde / x", "fan-3 / de / x", "fan-3 / nde / x"}
        # A mistake is told, and hides nothing.
        await browser.open(f"{address}#/?maschine=fan-2")
        await browser.until(f"{LINES}.length == 12")
        below = await browser.value("document.querySelector('.below').innerText")
        assert below == "The address asks for maschine, but the labels are machine, sensor, axis."

    shown(plant, story)


def test_labels_stand_in_the_order_of_the_topic() -> None:
    rate = {"payload": {"format": "float32"}, "sampling_rate_hz": 800.0}
    plant = Plant(16, more_sensors=[{"topic": "hall/{site}/{axis}/{machine}", **rate}])
    plant.send("fan-1", plant.noise(800))
    for axis in ("x", "y"):
        plant.ingest.deliver(f"hall/north/{axis}/fan-1", plant.noise(80).tobytes())

    async def story(browser: Browser, address: str) -> None:
        await browser.open(address)
        await browser.until(f"{LINES}.length == 3")
        assert sorted(await browser.value(NAMES)) == ["fan-1 / de / x", "north / x / fan-1", "north / y / fan-1"]
        await browser.open(f"{address}#/channel?axis=x&machine=fan-1&site=north")
        await browser.until("document.querySelector('h1').innerText == 'north / x / fan-1'")

    shown(plant, story)


def test_who_sees_nothing_is_told_what_was_rejected() -> None:
    plant = Plant(4)
    for _ in range(3):
        plant.ingest.deliver("plant/fan-1/de/x", b"odd")

    async def story(browser: Browser, address: str) -> None:
        await browser.open(address)
        below = "document.querySelector('.below').innerText"
        await browser.until(f"/^No channels yet.* rejected since the start: 3 wrong length. The log/.test({below})")

    shown(plant, story)


def test_bars_tell_5_from_12(calibration: Calibration) -> None:
    plant = plant_of(calibration, 5, ("de",))
    scores = [0.3, 1.0, 5.0, 12.0, 100.0]
    for number, score in enumerate(scores, 1):
        plant.judge(f"fan-{number}", score)

    async def story(browser: Browser, address: str) -> None:
        await browser.open(f"{address}#/?sort-by=score&sort-order=ascending")
        await browser.until(f"{LINES}.length == 5")
        widths = np.array(await browser.value(f"{LINES}.map(row => row.querySelector('.meter i').offsetWidth)"))
        assert widths[0] == pytest.approx(0.3 * widths[1], abs=1.0)
        assert widths[3] - widths[2] >= 10  # pixels
        whole = await browser.value("document.querySelector('.meter').offsetWidth")
        assert widths[4] == whole
        assert widths[1] == pytest.approx(0.3 * whole, abs=1.0)

    shown(plant, story)


@pytest.mark.long
def test_blindness_cannot_be_overlooked(tmp_path: Path) -> None:
    broker_port = free_port()
    banner = "document.querySelector('#banner')"
    rms = f"{LINES}.map(row => row.querySelector('.c-rms').innerText)"

    def says(head: str, text: str = "") -> str:
        return f"{banner}.checkVisibility() && /^{head}[^]*{text}/.test({banner}.innerText)"

    async def story(browser: Browser, servers: contextlib.ExitStack) -> None:
        noise = np.random.default_rng(0).normal(size=(2, 48_000)).astype(np.float32)
        with contextlib.ExitStack() as broker:
            broker.enter_context(mosquitto(tmp_path, broker_port))
            text = "scoring: {silent_after: 4s}\n"
            daemon = servers.enter_context(running_daemon(tmp_path, broker_port, text))
            await browser.open(daemon.address)
            pieces = np.split(noise, 40, axis=1)
            messages = [(f"plant/fan-{row}/x", piece[row].tobytes()) for piece in pieces for row in range(2)]
            await asyncio.to_thread(publish, broker_port, messages, pause_s=0.05)
            await browser.until(f"{LINES}.length == 2 && {rms}.every(text => /\\d/.test(text))")
            assert not await browser.value(f"{banner}.checkVisibility()")
            await browser.until(says("Blind: no samples arrive", "All 2 channels are silent"))
            last = await browser.value(rms)
        await browser.until(says("Blind: no connection to the broker", "nothing accepts connections there"))
        assert "Errno" not in await browser.value("document.body.innerText")
        assert await browser.value("document.title") == "⚠ vibration-monitor"
        # The last figures stay, and the banner with them while one scrolls.
        assert await browser.value(rms) == last
        assert await browser.value(f"{banner}.offsetHeight > 60 && getComputedStyle({banner}).position == 'sticky'")
        await pictures(browser, tmp_path, "blind")
        with mosquitto(tmp_path, broker_port):
            # Until the daemon is connected again, nothing of this arrives.
            while await browser.value(f"{banner}.checkVisibility()"):
                await asyncio.to_thread(publish, broker_port, messages[:2])
                await asyncio.sleep(0.2)
            await browser.until(f"!{banner}.checkVisibility()")
            # A daemon that hangs keeps its connections.
            daemon.process.send_signal(signal.SIGSTOP)
            await browser.until(says("Not live", "does not answer. Retrying"), timeout_s=60)
            assert await browser.value(rms) == last
            old = "document.querySelector('tbody .c-age').innerText"
            grown = await browser.value(old)
            await browser.until(f"{old} != {grown!r}")
            daemon.process.send_signal(signal.SIGCONT)
            await browser.until("!/^Not live/.test(document.querySelector('#banner').innerText)", timeout_s=60)
        daemon.process.kill()
        await browser.until(says("Not live", "does not answer[^]*the last state, of"))
        assert await browser.value(rms) == last

    async def main() -> None:
        with contextlib.ExitStack() as servers:
            async with chromium() as browser:
                await browser.size(1280, 800)
                await asyncio.wait_for(story(browser, servers), 240)

    asyncio.run(main())
