"""The streams of the live page: the fleet, one channel, and clients that are too many, too slow or do not go."""

import asyncio
import socket
from collections.abc import AsyncGenerator

import aiohttp
from aiohttp import web as aioweb
from aiohttp.test_utils import BaseTestServer, TestServer

from monitor.config.configuration import Config, Http
from monitor.runtime.web.page.routes import Page
from monitor.runtime.web.page.stream import CLIENT_LIMIT, Streams
from monitor.runtime.web.server import make_app
from tests.support.page.page_plant import Plant
from tests.support.page.page_server import next_event, tick, told
from tests.support.servers import until


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
