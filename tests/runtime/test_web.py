import asyncio
import base64
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web as aioweb
from aiohttp.test_utils import TestServer

from monitor.config import Config, Http
from monitor.errors import ConfigurationError, MonitorError
from monitor.runtime import web
from monitor.runtime.auth import open_to_others
from monitor.runtime.families import View


class Service:
    """A service that says what the test wants it to say."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.reload_error: MonitorError | None = None
        self.reloads = 0
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
            TestServer(web.make_app(service, settings)) as server,
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, server.make_url(path)) as answer,
        ):
            return answer.status, await answer.text(), answer.headers.get("Content-Type", "")

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


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        web.make_app(Service(), settings(bearer_token_file=tmp_path / "token"))


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
        web.tls_context(http)
    assert web.tls_context(settings()) is None
    assert isinstance(web.make_app(Service(), settings()), aioweb.Application)
