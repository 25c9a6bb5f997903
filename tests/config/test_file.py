"""What a configuration gets from the place where the daemon runs."""

import re
import socket
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.config.file import parse_config, with_own_place
from tests.support.programs import ROOT

SENSOR = "sensors: [{topic: a, payload: {format: float32}, sampling_rate_hz: 1, unit: g}]\n"


def placed(file: Path, text: str = "") -> Config:
    return with_own_place(parse_config(SENSOR + text, file), file)


def test_each_daemon_has_an_identifier_of_its_own_that_stays(tmp_path: Path) -> None:
    one = placed(tmp_path / "one.yaml").mqtt.client_id
    assert one is not None
    assert one.startswith(f"vibration-monitor-{socket.gethostname()}-")
    assert placed(tmp_path / "one.yaml").mqtt.client_id == one
    others = {
        placed(tmp_path / "two.yaml").mqtt.client_id,
        placed(tmp_path / "one.yaml", "state_dir: /var/lib/one").mqtt.client_id,
        placed(tmp_path / "one.yaml", "state_dir: /var/lib/two").mqtt.client_id,
    }
    assert len(others | {one}) == 4
    assert placed(tmp_path / "one.yaml", "mqtt: {client_id: mine}").mqtt.client_id == "mine"


def test_each_daemon_has_a_status_topic_of_its_own(tmp_path: Path) -> None:
    one, two = (placed(tmp_path / name).mqtt for name in ("one.yaml", "two.yaml"))
    assert one.status == f"vibration-monitor/status/{one.client_id}"
    assert one.status != two.status
    assert placed(tmp_path / "c.yaml", "mqtt: {client_id: a/b#+}").mqtt.status == "vibration-monitor/status/a_b__"
    assert placed(tmp_path / "c.yaml", "mqtt: {status_topic: a/b}").mqtt.status == "a/b"


def test_the_readmes_five_lines_are_a_configuration(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (first, *_) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(first.splitlines()) == 5
    plain, secured = first, re.sub(r'"mqtt://broker"\} # secured: \{url: ', "", first)
    assert parse_config(plain, tmp_path / "config.yaml").learning.enabled
    tls = parse_config(secured, tmp_path / "config.yaml").mqtt
    assert (tls.secure, tls.user, tls.tls.ca_file) == (True, "monitor", tmp_path / "ca.crt")


def test_the_state_directory_of_systemd_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/vibration-monitor:/var/lib/other")
    found = placed(tmp_path / "c.yaml")
    assert found.state_dir == Path("/var/lib/vibration-monitor")
    assert placed(tmp_path / "c.yaml", "state_dir: mine").state_dir == tmp_path / "mine"
    monkeypatch.delenv("STATE_DIRECTORY")
    assert found.mqtt.client_id == placed(tmp_path / "d.yaml", "state_dir: /var/lib/vibration-monitor").mqtt.client_id


SECRETS = """
mqtt:
  url: mqtts://broker
  password_file: password
  tls: {ca_file: tls/ca.pem, cert_file: c.pem, key_file: /etc/k.pem}
http: {cert_file: page.pem, key_file: page-key.pem, bearer_token_file: token}
"""


def test_files_are_beside_the_configuration_and_bare_names_may_be_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("token", "page.pem"):
        (credentials / name).touch()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    found = parse_config(SENSOR + SECRETS, tmp_path / "config.yaml")
    assert found.mqtt.password_file == tmp_path / "password"
    assert found.mqtt.tls.ca_file == tmp_path / "tls/ca.pem"
    assert found.mqtt.tls.cert_file == tmp_path / "c.pem"
    assert found.mqtt.tls.key_file == Path("/etc/k.pem")
    assert found.http.cert_file == credentials / "page.pem"
    assert found.http.key_file == tmp_path / "page-key.pem"
    assert found.http.bearer_token_file == credentials / "token"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert parse_config(SENSOR + SECRETS, tmp_path / "config.yaml").http.cert_file == tmp_path / "page.pem"
