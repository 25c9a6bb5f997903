"""The history over HTTP: as described, compressed, made once for many viewers, and bounded."""

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from monitor.config.configuration import Http
from monitor.runtime.history.cells import QUANTITIES
from monitor.runtime.history.desk import identity_of
from monitor.runtime.web.api.history import KEPT, Answers, Healthy, History
from monitor.runtime.web.server import make_app
from tests.support.page.page_plant import Plant

Get = Callable[[str], Awaitable[dict[str, Any]]]


def told(plant: Plant, story: Callable[[Get], Awaitable[None]]) -> None:
    async def main() -> None:
        async with TestServer(make_app(plant, Http())) as server, aiohttp.ClientSession() as client:

            async def get(path: str) -> dict[str, Any]:
                async with client.get(server.make_url(f"/api/v1/{path}")) as answer:
                    assert answer.status == 200, await answer.text()
                    found: dict[str, Any] = await answer.json()
                    return found

            await story(get)

    asyncio.run(main())


def grown(folder: Path, hours: int, channels: int = 4) -> Plant:
    """A plant whose fan has a score that has risen from 1 to 2 in so many hours, and a velocity from 4 to 4.4 mm/s."""
    plant, now_s = Plant(channels, state_dir=folder), time.time()
    plant.send("fan", plant.noise(800))
    identity, minutes = identity_of(plant.config.label_names, ("fan", "de", "x")), 60 * hours
    rng = np.random.default_rng(0)
    for at in range(minutes):
        then_s = now_s - 60.0 * (minutes - at)
        share = at / minutes
        figures = {"score": 1.0 + share, "velocity_rms": (4.0 + 0.4 * share) / 1000}
        values = np.array([[figures.get(name, np.nan) for name in QUANTITIES]]) * rng.normal(1.0, 0.02)
        store = plant.history._store
        store.add(store.places([identity], then_s), values.astype(np.float32), then_s)
    return plant


def test_figures_and_their_trend(tmp_path: Path) -> None:
    plant = grown(tmp_path, 12)

    async def story(get: Get) -> None:
        found = await get("history?channel=fan/de/x")
        assert found.keys() == History.model_fields.keys()
        again = History.model_validate(found)
        score = again.figures["score"]
        assert again.period_s == 60
        assert again.start_s == pytest.approx(time.time() - 12 * 3600, abs=120)
        assert len(score.mean) == len(score.maximum) == pytest.approx(720, abs=2)
        assert score.mean[100] == pytest.approx(1.14, rel=0.1)
        assert set(again.figures["rms"].mean) == {None}
        trend = again.trends["score"]
        assert trend.low < 1 / 12 / 3600 < trend.high
        assert trend.over_s == pytest.approx(6 * 3600, abs=180)
        assert "The score rises by 0.08" in trend.text
        velocity = again.trends["velocity_rms"]
        assert velocity.level == pytest.approx(4.4e-3, rel=0.01)
        assert velocity.reach is None  # the user has set no zones
        days = History.model_validate(await get("history?channel=fan/de/x&over=days"))
        assert days.trends["score"].over_s == pytest.approx(12 * 3600, abs=1800)
        reach = days.trends["score"].reach
        assert reach is not None
        assert reach.mark == 3.0
        assert reach.earliest_s < reach.in_s < reach.latest_s

    told(plant, story)


def test_a_healthy_spectrum_that_is_not_there_yet(tmp_path: Path) -> None:
    plant = grown(tmp_path, 1)

    async def story(get: Get) -> None:
        found = await get("history/healthy?channel=fan/de/x")
        assert Healthy.model_validate(found).stretches == 0
        assert (await get("history/alarms?channel=fan/de/x")) == {"alarms": []}

    told(plant, story)


def test_many_viewers_cost_one_reading_and_answers_are_bounded(tmp_path: Path) -> None:
    plant = grown(tmp_path, 1, 2 * KEPT)
    for number in range(KEPT + 3):
        plant.ingest.adopt(f"plant/m{number}/de/x", "x")
    reads = []
    read = plant.history.series
    plant.history.series = lambda *asked: reads.append(asked) or read(*asked)  # type: ignore[method-assign,func-returns-value]

    async def main() -> None:
        app = make_app(plant, Http())
        (answers,) = {
            route.handler.__self__  # type: ignore[attr-defined]
            for route in app.router.routes()
            if isinstance(getattr(route.handler, "__self__", None), Answers)
        }
        async with TestServer(app) as server, aiohttp.ClientSession() as client:
            url = server.make_url("/api/v1/history?channel=fan/de/x")

            async def size() -> int:
                async with client.get(url, auto_decompress=False) as answer:
                    assert answer.headers["Content-Encoding"] == "gzip"
                    body = await answer.read()
                    assert json.loads(gzip.decompress(body))["channel"] == "fan/de/x"
                    return len(body)

            sizes = await asyncio.gather(*(size() for _ in range(20)))
            assert len(set(sizes)) == len(reads) == 1
            for number in range(KEPT + 3):
                async with client.get(server.make_url(f"/api/v1/history?channel=m{number}/de/x")) as answer:
                    assert answer.status == 200
            assert len(answers._kept) == KEPT

    asyncio.run(main())
