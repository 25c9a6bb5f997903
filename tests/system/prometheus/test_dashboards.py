"""Every query of every dashboard, asked of a real Prometheus that scrapes a page as the daemon writes it."""

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.dashboard_queries import queries
from tests.support.programs import ROOT
from tests.support.servers import ask, get, prometheus, wait_for

PAGE = (ROOT / "tests" / "golden" / "metrics.txt").read_text(encoding="utf-8")
STARTED_AT_S = time.time()
WRITTEN_AT_S = 1767225600
"""The instant that the committed page speaks of."""
GROWTH = 0.05
"""How much counters grow from scrape to scrape, as a share of the committed value."""


def page_now(scrape: int) -> str:
    """The committed page as the ``scrape``-th reader sees it: counters grown, instants moved to now."""
    counters = set(re.findall(r"(?m)^# TYPE (\S+) (?:counter|histogram)$", PAGE))

    def now(found: re.Match[str]) -> str:
        series, name, value = found[1], found[2], float(found[3])
        if {name, re.sub(r"_(bucket|count|sum)$", "", name)} & counters:
            value *= 1 + GROWTH * scrape
        elif name.endswith("start_time_seconds"):
            value += STARTED_AT_S - WRITTEN_AT_S  # a process starts once, however often it is asked
        elif name.endswith("timestamp_seconds"):
            value += time.time() - WRITTEN_AT_S
        return f"{series} {value:.15g}"

    return re.sub(r"(?m)^((\w+)(?:\{.*\})?) (\S+)$", now, PAGE)


class Metrics(BaseHTTPRequestHandler):
    """Serves the page, grown a little for every reader."""

    scrapes = 0

    def do_GET(self) -> None:
        Metrics.scrapes += 1
        body = page_now(Metrics.scrapes).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has scraped the page a few times."""
    folder = tmp_path_factory.mktemp("prometheus")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{ROOT / 'config' / 'prometheus' / 'vibration.rules.yml'}']\n"
        "scrape_configs:\n"
        f"  - {{job_name: vibration-monitor, static_configs: [{{targets: ['127.0.0.1:{server.server_port}']}}]}}\n"
    )
    try:
        with prometheus(folder, config) as found:
            scrapes = 'count_over_time(up{job="vibration-monitor"}[1m])'
            wait_for(lambda: (ask(found, scrapes) or 0) >= 4, "four scrapes")
            yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def evaluate(address: str, expression: str) -> list[float]:
    """The values of a query's series, NaN left out; an error of the query fails."""
    answer = json.loads(get(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
    assert answer["status"] == "success"
    values = [float(series["value"][1]) for series in answer["data"]["result"]]
    return [value for value in values if value == value]  # noqa: PLR0124 - only NaN differs from itself


@pytest.mark.system
@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.where)
def test_every_query_returns_data(address: str, query: Any) -> None:
    assert evaluate(address, query.expression), f"no data for {query.expression}"


@pytest.mark.system
def test_a_choice_of_one_channel_shows_that_channel(address: str) -> None:
    chosen = {"instance": ".*", "machine": "fan-2", "sensor": "bearing-de", "axis": "x"}
    times = {"__rate_interval": "1m", "__range": "1h"}
    for query in queries({**chosen, **times}):
        if query.where.startswith("machine / Anomaly score"):
            assert evaluate(address, query.expression) == [3.4]


@pytest.mark.system
def test_the_rules_see_the_alarm_and_the_silent_channel(address: str) -> None:
    def pending() -> set[tuple[str, str]] | None:
        alerts = json.loads(get(f"{address}/api/v1/alerts"))["data"]["alerts"]
        found = {(alert["labels"]["alertname"], alert["labels"].get("machine", "")) for alert in alerts}
        return found if len(found) >= 4 else None

    assert wait_for(pending, "alerts") == {
        ("VibrationAnomalyAlarm", "fan-2"),
        ("VibrationChannelSilent", "pump-1"),
        ("VibrationCalibrationMissing", "pump-1"),
        ("VibrationVelocityZoneC", "fan-2"),
    }
