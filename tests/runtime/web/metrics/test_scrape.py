import asyncio
import gzip
from collections.abc import Iterable

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer, make_mocked_request
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from prometheus_client.samples import Sample

from monitor.config.configuration import Http
from monitor.runtime.lanes.histogram import Histogram
from monitor.runtime.web.metrics.exposition import (
    MetricsPage,
    as_openmetrics,
    label_text,
    process_metrics,
    process_registry,
)
from monitor.runtime.web.metrics.families import render
from monitor.runtime.web.negotiation import accepts_gzip, wants_openmetrics
from monitor.runtime.web.server import make_app
from tests.support.page.page_plant import Plant
from tests.support.programs import ROOT

GOLDEN = (ROOT / "tests" / "golden" / "metrics.txt").read_bytes()
OPENMETRICS = "application/openmetrics-text"
PROMETHEUS_2 = (
    f"{OPENMETRICS};version=1.0.0,{OPENMETRICS};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    f"{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,{OPENMETRICS};version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class ScrapedPlant(Plant):
    """A plant with a metrics page."""

    rendered = 0

    def metrics_page(self) -> bytes:
        self.rendered += 1
        return render(self.view()) + process_metrics(process_registry())


@pytest.fixture(scope="module")
def plant() -> ScrapedPlant:
    plant = ScrapedPlant()
    for machine in ("fan", 'pump "A" \\ 1'):
        plant.send(machine, plant.noise(4000))
        plant.judge(machine, 0.5)
    return plant


def read_openmetrics(page: str) -> list[Metric]:
    return list(openmetrics_families(page))  # type: ignore[no-untyped-call]


def samples(families: Iterable[Metric]) -> list[Sample]:
    return [sample for family in families for sample in family.samples]


@pytest.mark.parametrize("source", ["golden", "plant"])
def test_openmetrics_tells_what_the_text_format_tells(source: str, plant: ScrapedPlant) -> None:
    page = GOLDEN if source == "golden" else plant.metrics_page()
    text = {family.name: family for family in text_families(page.decode())}
    openmetrics = {family.name: family for family in read_openmetrics(as_openmetrics(page).decode())}
    assert len(text) > 30
    assert openmetrics.keys() == text.keys()
    for name, family in openmetrics.items():
        assert (family.type, family.documentation) == (text[name].type, text[name].documentation)
        assert samples([family]) == samples([text[name]])


def test_the_heads_differ_and_the_samples_do_not() -> None:
    page = MetricsPage()
    page.family("a_total", "counter", 'The "a", in \\ and \n.', [(label_text(("x",), ("\n# HELP b_total c",)), 3)])
    page.family("b", "gauge", "More.", [("", 0.5)])
    histogram = Histogram((0.5, 1, 2))
    histogram.observe(np.array([0.5, 9.0]))
    page.histogram("h", "Hist.", [("", *histogram.totals([histogram.part_totals(0)]))])
    page.histogram("nothing", "No parts.", [])
    text = page.text().decode()
    assert text.startswith('# HELP a_total The "a", in \\\\ and \\n.\n# TYPE a_total counter\na_total{x="')
    assert text.endswith("# HELP nothing No parts.\n# TYPE nothing histogram\n")
    expected = text.replace('# HELP a_total The "a"', '# HELP a The \\"a\\"').replace("# TYPE a_total", "# TYPE a")
    assert as_openmetrics(page.text()).decode() == expected + "# EOF\n"
    families = {family.name: family for family in read_openmetrics(expected + "# EOF\n")}
    assert families["a"].documentation == 'The "a", in \\ and \n.'
    assert families["a"].samples[0].labels == {"x": "\n# HELP b_total c"}
    assert [sample.labels["le"] for sample in families["h"].samples[:4]] == ["0.5", "1.0", "2.0", "+Inf"]
    assert as_openmetrics(b"") == b"# EOF\n"
    assert as_openmetrics(b"vibration_build_info 1\n") == b"vibration_build_info 1\n# EOF\n"


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        (OPENMETRICS, True),
        (f"{OPENMETRICS}; version=1.0.0; charset=utf-8", True),
        ('Application/OpenMetrics-Text ; Version="1.0.0" ; Q=0.5, text/plain;q=0.4', True),
        (f"{OPENMETRICS};version=0.0.1", False),
        (f"{OPENMETRICS};version=2.0.0,text/plain;q=0.1", False),
        (f"{OPENMETRICS};q=0", False),
        (f"{OPENMETRICS};q=0.4,text/plain;q=0.5", False),
        (f"{OPENMETRICS};q=0.4,*/*;q=0.5", False),
        (f"{OPENMETRICS},*/*", True),
        (f"{OPENMETRICS};q=nan", False),
        (f"{OPENMETRICS};q=9", False),
        (f"{OPENMETRICS};q=\u0661", False),
        (f"{OPENMETRICS};;=;q", False),
        (";,;=,\xff", False),
    ],
)
def test_openmetrics_goes_to_who_prefers_it(accept: str | None, openmetrics: bool) -> None:
    headers = {} if accept is None else {"Accept": accept}
    assert wants_openmetrics(make_mocked_request("GET", "/metrics", headers=headers)) == openmetrics


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.5", True),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=inf", False),
        ("notgzip", False),
        ("identity", False),
        ("\xff", False),
    ],
)
def test_gzip_goes_to_who_takes_it(accepted: str | None, compressed: bool) -> None:
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    assert accepts_gzip(make_mocked_request("GET", "/metrics", headers=headers)) == compressed


def test_every_form_is_made_once_of_one_page(plant: ScrapedPlant) -> None:
    async def story() -> None:
        app = make_app(plant, Http.model_validate({"page": False}))
        async with (
            TestServer(app) as server,
            aiohttp.ClientSession(auto_decompress=False, headers={"Host": "localhost"}) as session,
        ):

            async def scrape(accept: str, encoding: str) -> tuple[bytes, str, str | None]:
                headers = {"Accept": accept, "Accept-Encoding": encoding}
                async with session.get(server.make_url("/metrics"), headers=headers) as answer:
                    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
                    body = await answer.read()
                    assert answer.headers["Content-Length"] == str(len(body))
                    return body, answer.headers["Content-Type"], answer.headers.get("Content-Encoding")

            before = plant.rendered
            asked = [(accept, encoding) for accept in ("*/*", PROMETHEUS_2) for encoding in ("identity", "gzip")]
            answers = await asyncio.gather(*(scrape(*one) for one in 20 * asked))
        assert plant.rendered - before <= 3
        text, text_gzip, openmetrics, openmetrics_gzip = answers[:4]
        assert text[1:] == ("text/plain; version=0.0.4; charset=utf-8", None)
        assert text_gzip[1:] == ("text/plain; version=0.0.4; charset=utf-8", "gzip")
        assert openmetrics[1:] == ("application/openmetrics-text; version=1.0.0; charset=utf-8", None)
        assert openmetrics_gzip[1:] == ("application/openmetrics-text; version=1.0.0; charset=utf-8", "gzip")
        for body, kind, encoding in answers:
            page = (gzip.decompress(body) if encoding else body).decode()
            assert samples((read_openmetrics if "openmetrics" in kind else text_families)(page))

    asyncio.run(story())


def test_a_client_that_leaves_costs_the_others_nothing(plant: ScrapedPlant) -> None:
    async def story() -> None:
        app = make_app(plant, Http.model_validate({"page": False}))
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            url = server.make_url("/metrics")
            leaving = asyncio.create_task(session.get(url))
            staying = asyncio.create_task(session.get(url))
            await asyncio.sleep(0)
            leaving.cancel()
            async with await staying as answer:
                assert "# TYPE vibration_build_info gauge" in await answer.text()

    asyncio.run(story())
