"""Prometheus itself scrapes the daemon, in OpenMetrics as it prefers and in the text format."""

import contextlib
import http.server
import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons import running_daemon
from tests.support.servers import ask, free_port, get, prometheus, wait_for

pytestmark = pytest.mark.system


class Forwarder(http.server.BaseHTTPRequestHandler):
    """Hands a scrape on to the daemon, and its answer back; under ``/text`` it asks for the text format only."""

    daemon = ""
    answers: dict[str, tuple[str | None, str | None]]
    """Content type and encoding of the last answer, by path."""

    def do_GET(self) -> None:
        accept = "text/plain;version=0.0.4" if self.path == "/text" else self.headers["Accept"]
        headers = {"Accept": accept, "Accept-Encoding": self.headers["Accept-Encoding"]}
        request = urllib.request.Request(f"{self.daemon}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            kind, encoding, body = answer.headers["Content-Type"], answer.headers["Content-Encoding"], answer.read()
        self.answers[self.path] = (kind, encoding)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def forwarder(daemon: str) -> Iterator[tuple[int, dict[str, tuple[str | None, str | None]]]]:
    """A forwarder to the daemon: its port, and what it handed back."""
    answers: dict[str, tuple[str | None, str | None]] = {}
    handler = type("Forwarder", (Forwarder,), {"daemon": daemon, "answers": answers})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], answers
        finally:
            server.shutdown()
            thread.join()


def series(address: str, job: str) -> set[str]:
    """The daemon's series of one job, without what tells the jobs apart."""
    query = urllib.parse.urlencode({"match[]": f'{{job="{job}",__name__=~"(vibration|process|python)_.*"}}'})
    found = json.loads(get(f"{address}/api/v1/series?{query}"))["data"]
    return {json.dumps({k: v for k, v in one.items() if k not in {"job", "instance"}}, sort_keys=True) for one in found}


def test_prometheus_gets_the_same_series_in_both_formats(tmp_path: Path) -> None:
    with running_daemon(tmp_path, free_port()) as daemon, forwarder(daemon.address) as (port, answers):
        config = tmp_path / "prometheus.yml"
        jobs = [
            {"job_name": job, "metrics_path": f"/{job}", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job in ("openmetrics", "text")
        ]
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
        with prometheus(tmp_path, config) as address:
            for job in ("openmetrics", "text"):
                wait_for(lambda: ask(address, f'up{{job="{job}"}}'), f"a good scrape by {job}")  # noqa: B023
            assert answers == {
                "/openmetrics": ("application/openmetrics-text; version=1.0.0; charset=utf-8", "gzip"),
                "/text": ("text/plain; version=0.0.4; charset=utf-8", "gzip"),
            }
            scraped = {job: series(address, job) for job in ("openmetrics", "text")}
            assert len(scraped["text"]) > 50
            assert scraped["openmetrics"] == scraped["text"]
            assert ask(address, 'vibration_mqtt_connected{job="openmetrics"}') == 0
