"""The demo as a newcomer meets it: one command, the faulty machines stand out, the healthy ones do not.

Healthy are also a machine whose speed changes, and one that appears on the way and learns by itself.

With ``README_PICTURES=DIR`` the pictures of the README are written there.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.simulation.machine import POINTS
from tests.support.browser import chromium
from tests.support.servers import free_port, get, process, until, wait_for

pytestmark = [pytest.mark.system, pytest.mark.long]

LONG_S = 300.0
"""Longest wait for what takes less than a minute where nothing else runs: the learner has the lowest priority."""
CHANNEL = "#/channel?machine=fan-2&sensor=drive-end&axis=x"


def test_the_demo_shows_the_faults_and_only_these(tmp_path: Path) -> None:
    port = free_port()
    out = tmp_path / "out"
    command = [sys.executable, "-m", "monitor", "demo", "--port", str(port), "--json"]
    with out.open("w") as stream, process(*command, stdout=stream, stderr=subprocess.DEVNULL) as demo:
        address = f"http://127.0.0.1:{port}"

        def alarms() -> int:
            try:
                page = get(f"{address}/metrics")
            except OSError:
                return 0
            return len(re.findall(r"^vibration_alarm_state\{.*\} 2$", page, re.MULTILINE))

        wait_for(lambda: alarms() >= 2, "the first alarms", timeout_s=LONG_S)
        asyncio.run(look(address))
        wait_for(lambda: "is back" in out.read_text(), "the end of the dropout", timeout_s=LONG_S)

        def newcomer_in_alarm() -> bool:
            return re.search(r'"channel": "fan-3/drive-end/x", "text": "ALARM', out.read_text()) is not None

        wait_for(newcomer_in_alarm, "the alarm of the machine that learned", timeout_s=LONG_S)
        time.sleep(10)  # the fault grows on
        demo.send_signal(signal.SIGINT)  # Ctrl-C ends it, with the summary
        assert demo.wait(60) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    summary = {row["channel"]: row for row in lines[-1]["channels"]}
    assert len(summary) == 18
    for point in ("drive-end", "fan-end"):
        assert summary[f"fan-2/{point}/x"]["alarm_at_s"] > 20
        assert summary[f"gearbox-1/{point}/x"]["alarm_at_s"] > 30
    faulty = summary["fan-2/drive-end/x"]
    assert faulty["gap_ratio"] > 1.5 * faulty["gap_ratio_healthy"]
    for name, row in summary.items():
        if name.startswith(("fan-1", "pump")):
            assert row["alarm_at_s"] is None, name
            assert row["peak_score"] < 1, name
        if name.startswith(("fan-1", "pump-1")):
            assert row["gap_ratio"] < 1.3 * row["gap_ratio_healthy"], name
        if name.startswith("pump-2"):  # green all the time, beside an RMS that doubles with the speed
            assert set(row["states"]) - {"silent"} == {"watched"}, name  # silent: where all is late
            assert row["rms_healthy"][1] > 1.8 * row["rms_healthy"][0], name
        if name.startswith("fan-3"):
            assert row["states"][0] == "learning", name
            assert row["state"] == "watched", name
            assert row["rms_healthy"][1] > 1.5 * row["rms_healthy"][0], name
    (begun_s,) = [line["at_s"] for line in lines[:-1] if line["channel"] == "fan-3"]
    assert begun_s > max(summary[f"fan-3/{point}/x"]["watched_at_s"] for point in POINTS)
    alarmed = [summary[f"fan-3/{point}/x"]["alarm_at_s"] for point in POINTS]
    assert all(at_s is None or at_s > begun_s for at_s in alarmed)  # a machine that learns does not alarm
    texts = [line["text"] for line in lines if "text" in line and line["channel"] == "pump-1/foot/x"]
    assert any("is silent" in text for text in texts)
    assert any("is back" in text for text in texts)


async def keep(file: Path, picture: bytes) -> None:
    await asyncio.to_thread(file.write_bytes, picture)


async def look(address: str) -> None:
    """The page: the faulty machine on top, its alarm's evidence to be had."""
    folder = os.environ.get("README_PICTURES")
    async with chromium() as browser:
        await browser.size(1200, 760)
        await browser.open(f"{address}/")
        await browser.until("document.body.innerText.includes('fan-2')")
        first = await browser.until("document.querySelector('tbody tr')?.innerText")
        assert "fan-2" in first or "gearbox-1" in first
        if folder:
            await asyncio.sleep(12)  # lines that show some history
            await keep(Path(folder, "fleet.png"), await browser.screenshot())
        await browser.open(f"{address}/{CHANNEL}")
        await browser.until("document.body.innerText.includes('drive-end')")
        await browser.until("document.querySelectorAll('.js-plotly-plot').length >= 3")
        if folder:
            await asyncio.sleep(6)
            await browser.scheme("dark")
            await asyncio.sleep(2)
            await keep(Path(folder, "channel.png"), await browser.screenshot())

    def kept() -> bool:
        return any(entry["name"].endswith(".npz") for entry in json.loads(get(f"{address}/api/v1/evidence"))["files"])

    await until(kept, "a file of an alarm's evidence")
