"""How commands are told of a Kafka cluster, and what they say without one."""

from pathlib import Path
from typing import Any

import pytest

from monitor.cli.options.broker import broker_settings
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.errors import ConfigurationError
from tests.support.commands import document, refusal
from tests.support.servers import free_port

SENSOR = "sensors: [{topic: 'plant/{machine}/x', payload: {format: float32}, sampling_rate_hz: 1000, unit: g}]\n"

NO_ADDRESS = "is not the address of a cluster; write kafka://host:9092/TOPIC, or kafkas://host:9093/TOPIC (TLS)"


def settings(config: Path | None = None, tls: dict[str, Any] | None = None, **given: Any) -> Mqtt | Kafka:
    return broker_settings(config, given, tls or {})


def test_a_url_of_kafka_names_brokers_and_topic() -> None:
    found = settings(url="kafka://one:9092,two:9093/plant.samples")
    assert found == Kafka(bootstrap="one:9092,two:9093", topic="plant.samples")
    assert settings(url="kafka://one") == Kafka(bootstrap="one")


def test_an_account_and_tls_set_the_security(tmp_path: Path) -> None:
    account: dict[str, Any] = {"user": "monitor", "password_file": tmp_path / "password"}
    found = settings(url="kafkas://one:9093", tls={"ca_file": tmp_path / "ca.pem"}, **account)
    assert isinstance(found, Kafka)
    assert (found.security, found.sasl.user, found.tls.ca_file) == ("sasl_ssl", "monitor", tmp_path / "ca.pem")
    open_one = settings(url="kafka://one:9093", **account)
    assert isinstance(open_one, Kafka)
    assert open_one.security == "sasl_plaintext"


def test_the_section_of_a_file_is_taken_and_options_override_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(SENSOR + "kafka: {bootstrap: 'one:9092', topic: a, topic_header: t}\n")
    assert settings(file) == Kafka(bootstrap="one:9092", topic="a", topic_header="t")
    assert settings(file, url="kafka://two:9092") == Kafka(bootstrap="two:9092", topic="a", topic_header="t")
    assert isinstance(settings(file, url="mqtt://two"), Mqtt)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (
            "kafka:/one",
            f"--url: 'kafka:/one' {NO_ADDRESS}",
        ),
        (
            "kafka://one/plant/fan",
            f"--url: 'kafka://one/plant/fan' {NO_ADDRESS}",
        ),
        ("kafka://o!ne", "'o!ne' is not the address of a broker; write for example localhost:9092"),
    ],
)
def test_a_wrong_url_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(url=url)
    assert str(caught.value) == problem


def test_check_config_finds_what_librdkafka_refuses(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    known = SENSOR + "models: {default: reference}\n"
    file.write_text(known + "kafka: {options: {fetch.wait.ms: 100}}\n")
    assert 'kafka: librdkafka refuses the settings: No such configuration property: "fetch.wait.ms"' in str(
        refusal("check-config", file)
    )
    file.write_text(known + "kafka: {options: {fetch.wait.max.ms: 100}}\n")
    assert document("check-config", file)["ok"]
    account = "security: sasl_plaintext, sasl: {user: a, password_file: nowhere}"
    file.write_text(known + f"kafka: {{{account}}}\n")
    assert f"kafka.sasl.password_file: cannot read {tmp_path}/nowhere" in str(refusal("check-config", file))


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.extras.installed", lambda _: False)
    file = tmp_path / "config.yaml"
    file.write_text(SENSOR + "models: {default: reference}\nkafka: {}\n")
    text = str(refusal("check-config", file))
    assert "a Kafka cluster needs the library confluent_kafka, which is not installed: " in text
    assert "[kafka]" in text


def test_a_message_is_explained_as_a_record(tmp_path: Path) -> None:
    file, payload = tmp_path / "config.yaml", tmp_path / "value.bin"
    file.write_text(SENSOR + "kafka: {max_payload: 100}\n")
    payload.write_bytes(bytes(40))
    assert document("check-message", file, "--topic", "plant/fan/x", "--payload", payload)["used"]


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path) -> None:
    import numpy as np

    from monitor.recording.write import write_recording

    write_recording(tmp_path / "fan.npz", np.zeros(100, np.float32), 1000.0, "g")
    url = f"kafka://127.0.0.1:{free_port()}/a"
    text = str(refusal("replay", tmp_path / "fan.npz", "--url", url, "--topic", "plant/fan/x"))
    assert text.startswith(f"{url.removesuffix('/a')} does not answer: ")
    assert "Connection refused" in text
    assert "Kafka cluster" in str(refusal("bench", "--mqtt", url))
