import asyncio
import gzip
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web as aioweb
from aiohttp.test_utils import BaseTestServer, TestServer

from monitor.config.configuration import Config, Http
from monitor.core.learning.sensitivity import stated
from monitor.core.scoring.plausibility import Refusal, code
from monitor.quantities import spoken_duration
from monitor.runtime.alarms.capture_names import evidence_stem
from monitor.runtime.web.metrics.exposition import MetricsPage, number
from monitor.runtime.web.metrics.families import write_channels
from monitor.runtime.web.page.routes import HEADERS, PAGE, Page
from monitor.runtime.web.page.stream import CLIENT_LIMIT, Streams
from monitor.runtime.web.server import make_app
from tests.support.channels.healthy import healthy_calibration
from tests.support.page.page_plant import Plant
from tests.support.servers import until

Story = Callable[[BaseTestServer, aiohttp.ClientSession, Page], Awaitable[None]]


def told(plant: Plant, story: Story) -> None:
    """Run a story with a server of the plant's page and a client."""

    async def main() -> None:
        app = make_app(plant, Http())
        app[PAGE].sample_period_s = 3600.0  # the story says when a second has passed
        connector = aiohttp.TCPConnector(limit=0)
        async with TestServer(app) as server, aiohttp.ClientSession(connector=connector) as client:
            await asyncio.wait_for(story(server, client, app[PAGE]), 60)

    asyncio.run(main())


async def next_event(answer: aiohttp.ClientResponse) -> tuple[str, dict[str, Any]]:
    """The next server-sent event: its kind and document."""
    kind, data = "", b""
    while line := (await answer.content.readuntil(b"\n")).strip():
        name, _, value = line.partition(b": ")
        if name == b"event":
            kind = value.decode()
        else:
            data = value
    return kind, json.loads(data)


def tick(page: Page) -> None:
    """What the page does once a second."""
    view = page.service.view()
    page.fleet.sample(view)
    page.messages.publish(view, page.service)


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


def test_the_fleet_stream_tells_what_changed() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))
    plant.send("pump", plant.noise(1600))

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        tick(page)
        async with client.get(server.make_url("/api/v1/stream")) as answer:
            assert answer.content_type == "text/event-stream"
            kind, fleet = await next_event(answer)
            assert kind == "fleet"
            assert fleet["names"] == [["fan", "de", "x"], ["pump", "de", "x"]]
            assert fleet["places"] == [0, 1]
            plant.send("pump", plant.noise(1600))
            tick(page)
            kind, rows = await next_event(answer)
            assert (kind, rows["places"]) == ("rows", [1])
            assert rows["rows"][0][3] != fleet["rows"][1][3]
            plant.send("new", plant.noise(80))
            tick(page)
            kind, fleet = await next_event(answer)
            assert kind == "fleet"
            assert [labels[0] for labels in fleet["names"]] == ["fan", "pump", "new"]
            # Two messages before the client looks: it gets all rows of the second.
            tick(page)
            tick(page)
            kind, rows = await next_event(answer)
            assert (kind, rows["places"], rows["sample"]) == ("rows", [0, 1, 2], page.fleet.samples)

    told(plant, story)


def test_after_a_reload_no_answer_is_made_of_the_channels_before() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))

    def reload() -> None:
        """The sensor gets a measured quantity, and another one gets a label that it lacks; there is more room."""
        sensor = plant.config.sensors[0].model_dump(mode="json", exclude_unset=True)
        speed = {"topic": "plant/{machine}/speed", "payload": {"format": "number"}, "max_age": "30s"}
        other = {**sensor, "topic": "hall/{hall}/{machine}/{axis}"}
        plant.config = Config.model_validate(
            {"sensors": [{**sensor, "conditions": {"speed_rpm": speed}}, other], "limits": {"channels": 16}}
        )
        plant.ingest.configure(plant.config, {"default": plant.lane.rings})
        channels = plant.ingest.channels.values()
        plant.conditions.configure(plant.config, {"default": plant.lane.conditions}, channels)

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        tick(page)
        reload()
        async with client.get(server.make_url("/api/v1/channels")) as answer:
            assert answer.status == 200
            (channel,) = (await answer.json())["channels"]
        assert channel["labels"] == {"machine": "fan", "sensor": "de", "hall": "", "axis": "x"}
        assert channel["conditions"] == {"speed_rpm": {"value": None, "stale": False}}
        reload()
        plant.ingest.forget(plant.ingest.channels["fan", "de", "", "x"])
        async with client.get(server.make_url("/api/v1/stream")) as answer:
            assert (await next_event(answer))[1]["names"] == []

    told(plant, story)


def test_a_channel_is_watched() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        tick(page)
        async with client.get(server.make_url("/api/v1/channels/stream?machine=fan&sensor=nothing")) as answer:
            assert answer.status == 404
        address = server.make_url("/api/v1/channels/stream?machine=fan&sensor=de&axis=x")
        async with client.get(address) as first, client.get(address) as second:
            for answer in (first, second):
                kind, channel = await next_event(answer)
                assert kind == "channel"
                assert channel["labels"]["machine"] == "fan"
                assert len(channel["history"]["gap_ratio"]) == page.fleet.samples
            kind, update = await next_event(first)
            assert (kind, update["picture"]["rate_hz"]) == ("update", 800.0)
            assert (await next_event(second))[1] == update
            plant.send("fan", plant.noise(80))
            later = (await next_event(first))[1]
            while later["picture"]["start_sample"] == update["picture"]["start_sample"]:
                later = (await next_event(first))[1]
            assert later["picture"]["start_sample"] - update["picture"]["start_sample"] == 80
            plant.ingest.channels.clear()
            tick(page)
            while kind != "gone":
                kind, _ = await next_event(first)
        await until(lambda: not page.watches.watched)

    told(plant, story)


def test_more_viewers_than_the_limit_are_asked_to_wait() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))

    async def story(server: BaseTestServer, client: aiohttp.ClientSession, page: Page) -> None:
        answers = await asyncio.gather(*(client.get(server.make_url("/api/v1/stream")) for _ in range(200)))
        taken = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status == 503]
        assert (len(taken), len(refused)) == (CLIENT_LIMIT, 200 - CLIENT_LIMIT)
        assert refused[0].headers["Retry-After"] == "5"
        for answer in taken:
            assert (await next_event(answer))[0] == "fleet"
        tick(page)
        for answer in taken:
            assert (await next_event(answer))[0] == "rows"
        async with client.get(server.make_url("/api/v1/channels")) as answer:
            assert answer.status == 200
        for answer in answers:
            answer.close()
        while page.streams.open:
            tick(page)
            await asyncio.sleep(0.01)
        async with client.get(server.make_url("/api/v1/stream")) as answer:
            assert answer.status == 200

    told(plant, story)


def test_a_client_that_does_not_read_is_dropped() -> None:
    made = 0
    streams = Streams(limit=4, stuck_after_s=0.3)

    async def messages() -> AsyncGenerator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield bytes(100_000)

    async def handler(request: aioweb.Request) -> aioweb.StreamResponse:
        return await streams.serve(request, messages, {})

    async def main() -> None:
        app = aioweb.Application()
        app.router.add_get("/", handler)
        async with TestServer(app) as server:
            with socket.socket() as stuck:
                stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stuck.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(stuck, ("127.0.0.1", server.port))
                await loop.sock_sendall(stuck, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await until(lambda: bool(streams.dropped) and not streams.open)
            # What waited for the stuck client was a few buffers, not the stream.
            assert made <= 6

    asyncio.run(asyncio.wait_for(main(), 30))
    assert streams.dropped == 1


def test_the_server_ends_although_clients_watch() -> None:
    plant = Plant()
    plant.send("fan", plant.noise(1600))

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as client:
            server = TestServer(make_app(plant, Http()))
            await server.start_server(shutdown_timeout=20)
            answers = [await client.get(server.make_url("/api/v1/stream")) for _ in range(3)]
            began_s = loop.time()
            await server.close()
            for answer in answers:
                answer.close()
            return loop.time() - began_s

    assert asyncio.run(main()) < 10


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
