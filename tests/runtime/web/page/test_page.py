import gzip
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import BaseTestServer

from monitor.config.configuration import Http
from monitor.core.learning.sensitivity import stated
from monitor.core.scoring.plausibility import Refusal, code
from monitor.quantities import spoken_duration
from monitor.runtime.alarms.capture_names import evidence_stem
from monitor.runtime.web.metrics.exposition import MetricsPage, number
from monitor.runtime.web.metrics.families import write_channels
from monitor.runtime.web.page.routes import HEADERS, PAGE, Page
from monitor.runtime.web.server import make_app
from tests.support.channels.healthy import healthy_calibration
from tests.support.page.page_plant import Plant
from tests.support.page.page_server import next_event, tick, told


def test_the_channels_as_json() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))
    plant.send("<script>", plant.noise(8))
    plant.mqtt.connected = False
    plant.mqtt.last_error = "refused"

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        tick(page)
        async with client.get(server.make_url("/api/v1/channels")) as answer:
            assert answer.content_type == "application/json"
            document = await answer.json()
        assert document["service"]["unready"] == ["broker: refused"]
        assert document["service"]["connected"] is False
        fan, odd = document["channels"]
        assert fan["labels"] == {"machine": "fan", "sensor": "de", "axis": "x"}
        assert fan["rms"] == pytest.approx(1.0, abs=0.2)
        assert fan["gap_ratio"] > 0
        assert fan["samples_received"] == 1600
        assert (fan["score"], fan["alarm_state"], fan["band_hz"], fan["refusal"]) == (None, None, None, None)
        assert (fan["state"], fan["state_reason"]) == ("unusable", "no_calibration")
        assert set(fan["evidence"].values()) == {None}
        assert odd["name"] == "<script>/de/x"
        assert odd["rms"] is None

    told(plant, story)


def test_a_scored_channel_tells_why() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))
    plant.send("pump", plant.noise(1600))
    plant.judge("fan", 2.5)
    plant.lane.board.refusal[plant.ingest.channels["pump", "de", "x"].row] = code(Refusal.FLAT_LINE)

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        tick(page)
        async with client.get(server.make_url("/api/v1/channels")) as answer:
            fan, pump = (await answer.json())["channels"]
        assert (fan["score"], fan["alarm_state"], fan["band_hz"]) == (2.5, 2, [100.0, 120.0])
        assert fan["evidence"]["bands"] == 2.5
        assert fan["refusal"] is None
        assert pump["refusal"] == "flat_line"
        assert (pump["state"], pump["state_reason"]) == ("unusable", "flat_line")

    told(plant, story)


def test_a_calibrated_channel_tells_what_is_foreseen() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))
    plant.send("pump", plant.noise(1600))
    calibration = healthy_calibration(400)
    plant.ingest.channels["fan", "de", "x"].calibration = calibration

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        tick(page)
        async with client.get(server.make_url("/api/v1/channels")) as answer:
            fan, pump = (await answer.json())["channels"]
            assert [fan["trust"], pump["trust"]] == [calibration.trust, None]
            assert [fan["state"], pump["state"]] == ["watched", "unusable"]
        async with client.get(server.make_url("/api/v1/channels/stream?machine=fan&sensor=de&axis=x")) as answer:
            _, introduction = await next_event(answer)
        facts = dict(introduction["calibration"])
        assert facts["Forecast"] == calibration.foresight
        assert facts["Limit set for"] == "1 false alarm a month"
        assert facts["Made from"].startswith(f"{spoken_duration(calibration.healthy_s)} of healthy signal, ")
        [seen] = introduction["sensitivity"]
        assert seen[1:] == f"{stated(calibration)}."[1:]
        assert seen.startswith("Sees a lasting rise of ")
        async with client.get(server.make_url("/api/v1/channels/stream?machine=pump&sensor=de&axis=x")) as answer:
            assert (await next_event(answer))[1]["sensitivity"] == []

    told(plant, story)
    exported = MetricsPage()
    write_channels(exported, plant.view())
    fan = 'machine="fan",sensor="de",axis="x"'
    assert [line for line in exported.lines if line.startswith("vibration_calibration_sensitivity_decibels{")] == [
        f'vibration_calibration_sensitivity_decibels{{{fan},over="{over}"}} {number(decibels)}'
        for over, decibels in zip(("1m", "1d"), calibration.sensitivity[-1].tolist(), strict=True)
    ]
    lines = [line for line in exported.lines if line.startswith("vibration_forecast_trust{")]
    assert lines == [f"vibration_forecast_trust{{{fan}}} {number(calibration.trust)}"]


def test_a_silent_channel_has_no_figures() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))
    plant.ahead_s = 61.0

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        tick(page)
        async with client.get(server.make_url("/api/v1/channels")) as answer:
            fan = (await answer.json())["channels"][0]
        assert fan["silent"] is True
        assert (fan["state"], fan["state_reason"]) == ("silent", None)
        assert fan["last_sample_age_s"] == pytest.approx(61, abs=1)
        assert (fan["rms"], fan["gap"], fan["gap_ratio"]) == (None, None, None)

    told(plant, story)


def test_everything_comes_from_here_and_is_compressed() -> None:
    async def story(server: BaseTestServer, client: aiohttp.ClientSession, _: Page) -> None:
        for path in ("/", "/static/app.js", "/static/style.css", "/static/plotly.min.js", "/static/icon.svg"):
            async with client.get(server.make_url(path), auto_decompress=False) as answer:
                assert answer.status == 200
                assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
                assert answer.headers["Content-Encoding"] == "gzip"
                body = gzip.decompress(await answer.read())
                tag = answer.headers["ETag"]
            async with client.get(server.make_url(path), headers={"If-None-Match": tag}) as answer:
                assert (answer.status, await answer.read()) == (304, b"")
            if "plotly" not in path:
                assert b"//cdn" not in body
        async with client.get(server.make_url("/"), headers={"Accept-Encoding": "identity"}) as answer:
            assert (await answer.text()).startswith("<!doctype html>")
        for path in ("/static/nothing.js", "/static/..%2fserver.py", "/static/%2e%2e/server.py"):
            async with client.get(server.make_url(path)) as answer:
                assert answer.status == 404

    assert "unsafe-inline" not in HEADERS["Content-Security-Policy"].split("style-src")[0]
    told(Plant(), story)


def test_without_a_page_there_is_none() -> None:
    app = make_app(Plant(), Http(page=False))
    assert PAGE not in app
    assert not [route for route in app.router.resources() if route.canonical == "/api/v1/channels"]


def test_evidence_is_listed_and_served_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    stem = evidence_stem("fan/de/x", 0.0)
    assert stem.startswith("1970-01-01T00-00-00Z-fan_de_x-")
    for name in (f"{stem}.npz", f"{stem}.png", ".hidden.npz", "other.txt"):
        (folder / name).write_bytes(b"data")
    (tmp_path / "secret.json").write_text("secret")
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "folder.json").mkdir()

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, _: Page) -> None:
        for query, endings in {
            "": ["npz", "png"],
            "?channel=fan/de/x": ["npz", "png"],
            "?channel=fan_de_x": [],
        }.items():
            async with client.get(server.make_url(f"/api/v1/evidence{query}")) as answer:
                files = (await answer.json())["files"]
            assert sorted(file["name"].rpartition(".")[2] for file in files) == endings
        for name, status in {
            f"{stem}.npz": 200,
            "..%2fsecret.json": 404,
            "link.json": 404,
            "folder.json": 404,
            ".hidden.npz": 404,
            "other.txt": 404,
            "absent.npz": 404,
        }.items():
            async with client.get(server.make_url("/") / "api/v1/evidence" / name) as answer:
                assert (name, answer.status) == (name, status)
                if status == 200:
                    assert await answer.read() == b"data"
                    assert answer.headers["Content-Disposition"].startswith("attachment")
                    assert "Content-Security-Policy" in answer.headers

    told(Plant(state_dir=tmp_path), story)
