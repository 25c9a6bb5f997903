import asyncio
import base64
import socket
import time
import zlib
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web as aioweb
from aiohttp.test_utils import TestServer

from monitor.config.configuration import Config, Http
from monitor.errors import ConfigurationError, MonitorError
from monitor.runtime.addresses import channel_url, public_url
from monitor.runtime.credentials.certificates import server_context
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.web.border.auth import open_to_others
from monitor.runtime.web.made_once import MadeOnce
from monitor.runtime.web.server import make_app
from monitor.runtime.web.view import View
from tests.support.page.acknowledgements import acknowledgements
from tests.support.page.baselines import baseline_desk
from tests.support.page.diagnosis import diagnosis_desk
from tests.support.page.histories import history_desk


class Service:
    """A service that says what the test wants it to say."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.reload_error: MonitorError | None = None
        self.reloads = 0
        self.baselines = baseline_desk()
        self.history = history_desk()
        self.acknowledgements = acknowledgements()
        self.diagnosis = diagnosis_desk()
        self.config = Config.model_validate(
            {"sensors": [{"topic": "a/{machine}", "payload": {"format": "json"}, "sampling_rate_hz": 1000}]}
        )

    def view(self) -> View:
        raise AssertionError("only the page asks for it, and these tests serve none")

    def metrics_page(self) -> bytes:
        return b"vibration_build_info 1\n"

    def unready(self) -> list[str]:
        return self.reasons

    async def reload(self) -> None:
        self.reloads += 1
        if self.reload_error:
            raise self.reload_error


Asked = tuple[int, str, str]


def ask(
    service: Service, settings: Http, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> Asked:
    async def story() -> Asked:
        async with (
            TestServer(make_app(service, settings)) as server,
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, server.make_url(path)) as answer,
        ):
            return answer.status, await answer.text(), answer.headers.get("Content-Type", "")

    return asyncio.run(story())


def raw(service: Service, settings: Http, *requests: bytes) -> list[bytes]:
    """The whole answers to raw bytes, each over a connection of its own."""

    async def story() -> list[bytes]:
        found = []
        async with TestServer(make_app(service, settings)) as server:
            for request in requests:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(request)
                found.append(await asyncio.wait_for(reader.read(), 30))
                writer.close()
        return found

    return asyncio.run(story())


def settings(**keys: object) -> Http:
    return Http.model_validate({"page": False} | keys)


def test_metrics_are_in_the_text_format() -> None:
    status, text, kind = ask(Service(), settings(), "/metrics")
    assert (status, text) == (200, "vibration_build_info 1\n")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"


def test_healthy_is_not_ready() -> None:
    service = Service()
    service.reasons = ["broker mqtt://x: not connected yet"]
    assert ask(service, settings(), "/-/healthy")[:2] == (200, "healthy\n")
    assert ask(service, settings(), "/-/ready")[:2] == (503, "not ready: broker mqtt://x: not connected yet\n")
    service.reasons = []
    assert ask(service, settings(), "/-/ready")[:2] == (200, "ready\n")


def test_reload_is_off_unless_enabled() -> None:
    service = Service()
    assert ask(service, settings(), "/-/reload", "POST")[0] == 404
    assert ask(service, settings(reload=True), "/-/reload", "GET")[0] == 405
    assert ask(service, settings(reload=True), "/-/reload", "POST")[:2] == (200, "reloaded\n")
    service.reload_error = ConfigurationError("c.yaml: 1 problem")
    assert ask(service, settings(reload=True), "/-/reload", "POST")[:2] == (500, "not reloaded: c.yaml: 1 problem\n")
    assert service.reloads == 2


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready"])
def test_with_basic_auth_everything_asks(tmp_path: Path, path: str) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    http = settings(basic_auth={"user": "prometheus", "password_file": tmp_path / "password"})
    good = base64.b64encode(b"prometheus:s3cret").decode()
    bad = base64.b64encode(b"prometheus:wrong").decode()
    assert ask(Service(), http, path)[0] == 401
    for header in ("Basic", "Basic !!!", f"Basic {bad}", f"Bearer {good}"):
        assert ask(Service(), http, path, headers={"Authorization": header})[0] == 401
    assert ask(Service(), http, path, headers={"Authorization": f"Basic {good}"})[0] == 200


def test_with_a_token_everything_asks(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken")
    http = settings(bearer_token_file=tmp_path / "token")
    assert ask(Service(), http, "/metrics", headers={"Authorization": "Bearer wrong"})[0] == 401
    assert ask(Service(), http, "/metrics", headers={"Authorization": "Bearer t0ken"})[0] == 200


def test_credentials_of_any_bytes_are_wrong_ones(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    broken = base64.b64encode(b"prometheus:\xff\xfe")
    headers = (
        b"Bearer \xff",
        b"Bearer t\xc3\xb6ken",
        b"Basic \xff",
        b"Basic " + broken,
        b"Basic AAA",
        b"Basic",
        b"\xff",
    )
    requests = [
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %s\r\n\r\n" % header
        for header in headers
    ]
    for http in (
        settings(bearer_token_file=tmp_path / "secret"),
        settings(basic_auth={"user": "prometheus", "password_file": tmp_path / "secret"}),
    ):
        for header, answer in zip(headers, raw(Service(), http, *requests), strict=True):
            assert answer.startswith(b"HTTP/1.1 401 "), header


def test_a_token_need_not_be_ascii(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("geheim-\u00e4", encoding="utf-8")
    http = settings(bearer_token_file=tmp_path / "token")
    request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer geheim-\u00e4\r\n\r\n"
    assert raw(Service(), http, request.encode())[0].startswith(b"HTTP/1.1 200 ")


def test_an_error_in_a_handler_costs_its_request(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()
    errors = InternalErrors(lambda: 0.0)

    def broken() -> bytes:
        raise KeyError("nobody foresaw it")

    async def story() -> None:
        service.metrics_page = broken  # type: ignore[method-assign]
        async with (
            TestServer(make_app(service, settings(), errors)) as server,
            aiohttp.ClientSession() as session,
        ):
            for _ in range(3):
                async with session.get(server.make_url("/metrics")) as answer:
                    assert (answer.status, await answer.text()) == (
                        500,
                        "internal error; see the daemon's log\n",
                    )
            async with session.get(server.make_url("/-/healthy")) as answer:
                assert answer.status == 200

    asyncio.run(story())
    assert errors.counts == {Where.REQUEST: 3}
    said = [record for record in caplog.records if record.exc_info]
    assert len(said) == 1
    assert "GET /metrics" in said[0].getMessage()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_scrapes_at_the_same_time_are_answered_by_one_page(encoding: str) -> None:
    service = Service()
    body = bytes(300_000)
    sent_bytes = len(body) if encoding == "identity" else len(zlib.compress(body, 1, 31))
    made = 0

    def page() -> bytes:
        nonlocal made
        made += 1
        time.sleep(0.05)  # half a thousand channels on a slow machine
        return body

    async def story() -> None:
        service.metrics_page = page  # type: ignore[method-assign]
        async with (
            TestServer(make_app(service, settings())) as server,
            aiohttp.ClientSession(headers={"Accept-Encoding": encoding}) as session,
        ):

            async def scrape() -> bytes:
                async with session.get(server.make_url("/metrics")) as answer:
                    assert answer.headers["Content-Length"] == str(sent_bytes)
                    return await answer.read()

            assert await asyncio.gather(*(scrape() for _ in range(60))) == [body] * 60
            async with session.head(server.make_url("/metrics")) as answer:
                assert (answer.status, await answer.read()) == (200, b"")

    asyncio.run(story())
    assert made <= 10


def test_a_page_made_again_takes_a_tenth_of_the_time() -> None:
    now = [0.0]

    def make() -> bytes:
        now[0] += 0.5
        return str(now[0]).encode()

    page = MadeOnce(make, lambda: now[0])
    assert page.get() == page.get() == b"0.5"
    now[0] = 4.9
    assert page.get() == b"0.5"
    now[0] = 5.0
    assert page.get() == b"5.5"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "monitor.example.com"}, 200),
        ({"Host": "MONITOR.example.com:443", "Origin": "https://monitor.example.com"}, 200),
        ({"Host": "localhost", "Origin": "https://monitor.example.com"}, 200),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Host": "[::1]:9108", "Origin": "http://[::1]:9108"}, 200),
        ({"Host": "192.0.2.1"}, 200),
        ({"Host": "192.0.2.1.evil.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://[broken"}, 403),
    ],
)
def test_a_change_is_asked_by_our_name_and_from_our_page(headers: dict[str, str], status: int) -> None:
    service = Service()
    http = settings(reload=True, allowed_hosts=["monitor.example.com"])
    assert ask(service, http, "/-/reload", "POST", headers)[0] == status
    assert service.reloads == (status == 200)
    assert ask(service, http, "/metrics", headers=headers)[0] == 200


def test_a_body_is_small_and_well_formed() -> None:
    head = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    large, chunked, good = raw(
        Service(),
        settings(reload=True),
        head + b"Content-Length: 300000\r\n\r\n" + bytes(300_000),
        head + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n",
        head + b"Content-Length: 4\r\n\r\nbody",
    )
    assert large.startswith(b"HTTP/1.1 413 ")
    assert chunked.split()[1] == b"400"
    assert good.startswith(b"HTTP/1.1 200 ")


def test_the_runbook_opens_by_any_of_our_names_without_the_page() -> None:
    http = settings(page=False, public_url="https://monitor.example.com/vibration/")
    assert http.public_url == "https://monitor.example.com/vibration"
    for host in ("localhost", "monitor.example.com"):
        status, text, kind = ask(Service(), http, "/runbook", headers={"Host": host})
        assert (status, kind) == (200, "text/html; charset=utf-8")
        assert '<h2 id="runbook-vibrationanomalyalarm">VibrationAnomalyAlarm</h2>' in text
    assert ask(Service(), settings(), "/runbook", headers={"Host": "evil.example"})[0] == 403


def test_the_url_of_the_page_is_the_configured_one_or_what_it_listens_on() -> None:
    assert public_url(settings(public_url="https://m.example.com/"), "http://127.0.0.1:9108") == "https://m.example.com"
    assert public_url(settings(), "http://127.0.0.1:9108") == "http://127.0.0.1:9108"
    assert public_url(settings(), "https://0.0.0.0:9108") == f"https://{socket.gethostname()}:9108"
    assert public_url(settings(), "http://[::]:9108") == f"http://{socket.gethostname()}:9108"
    assert channel_url(lambda: "http://m:1", {"machine": "fan 2/a", "site": "", "axis": "x"}) == (
        "http://m:1/#/channel?machine=fan+2%2Fa&axis=x"
    )


def test_a_name_is_not_an_address() -> None:
    with pytest.raises(ValueError, match="without port"):
        settings(allowed_hosts=["monitor.example.com:443"])


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        make_app(Service(), settings(bearer_token_file=tmp_path / "token"))


def test_a_server_open_to_others_is_noticed(tmp_path: Path) -> None:
    assert not open_to_others(settings(listen="127.0.0.1:9108"))
    assert not open_to_others(settings(listen="[::1]:9108"))
    assert open_to_others(settings(listen="0.0.0.0:9108"))
    assert not open_to_others(settings(listen="0.0.0.0:9108", bearer_token_file=tmp_path / "token"))


def test_a_broken_certificate_is_refused(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nonsense")
    http = settings(cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem")
    with pytest.raises(ConfigurationError, match=r"http\.cert_file"):
        server_context(http)
    assert server_context(settings()) is None
    assert isinstance(make_app(Service(), settings()), aioweb.Application)
