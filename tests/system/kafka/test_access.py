"""A Kafka that wants TLS and an account, lacks the group protocol of KIP-848, and is killed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitor.simulation.machine import catalogue
from monitor.simulation.simulator import Simulation
from tests.support.authority import Authority
from tests.support.commands import refusal
from tests.support.daemons import running_daemon
from tests.support.kafka.broker import KafkaBroker, kafka
from tests.support.servers import free_port, wait_for

pytestmark = [pytest.mark.system, pytest.mark.long]

MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
PASSWORD = "correct horse"  # noqa: S105 - of a broker on loopback


class Guarded:
    """A broker with TLS and accounts that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "authority")
        certificate, key = authority.sign("kafka")
        keystore = folder / "kafka.pem"
        keystore.write_text(key.read_text() + certificate.read_text())
        self.ca_file = authority.certificate
        self.password_file = folder / "password"
        self._folder, self._port, self._stack = folder, free_port(), ExitStack()
        self._lines = (
            "sasl.enabled.mechanisms=SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512",
            f"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={MODULE} required;",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={keystore}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.location={self.ca_file}",
        )

    def start(self) -> KafkaBroker:
        account = f"SCRAM-SHA-512=[name=monitor,password={PASSWORD}]"
        formatting = ["--add-scram", account, "--feature", "group.version=0"]
        running = self._stack.enter_context(
            kafka(self._folder, *self._lines, port=self._port, listener="SASL_SSL", formatting=formatting)
        )
        running.options = {
            "security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "monitor",
            "sasl.password": PASSWORD, "ssl.ca.location": str(self.ca_file),
        }  # fmt: skip
        return running

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path)
    yield made
    made.stop()


def test_a_refused_account_is_told_and_a_lost_broker_is_found_again(guarded: Guarded, tmp_path: Path) -> None:
    broker = guarded.start()
    broker.create("guarded")
    guarded.password_file.write_text("wrong\n")
    fan = Simulation(catalogue()["fan"], 12000.0, 0)

    def send() -> None:
        broker.send("guarded", [("plant/fan/x", fan.next(1200).astype("<f4").tobytes())])

    folder = tmp_path / "daemon"
    folder.mkdir()
    text = (
        f"kafka:\n  bootstrap: {broker.bootstrap}\n  topic: guarded\n  security: sasl_ssl\n"
        f"  tls: {{ca_file: {guarded.ca_file}}}\n"
        f"  sasl: {{user: monitor, password_file: {guarded.password_file}}}\n"
    )
    with running_daemon(folder, 0, text) as daemon:
        wait_for(lambda: "Authentication failed" in daemon.unready(), "the refusal to be told")
        guarded.password_file.write_text(f"{PASSWORD}\n")
        wait_for(lambda: daemon.unready() == "", "the group", 60)
        log = daemon.log.read_text()
        assert "the brokers lack the group protocol 'consumer' (KIP-848); taking 'classic'" in log
        assert "protocol=classic" in log
        assert PASSWORD not in log
        assert daemon.values("vibration_certificate_expiry_timestamp_seconds")
        send()
        wait_for(lambda: daemon.value("vibration_samples_received_total") == 1200, "samples")
        guarded.stop()
        wait_for(lambda: daemon.value("vibration_kafka_connected") == 0, "the loss")
        wait_for(lambda: "Connection refused" in daemon.unready(), "the reason")  # after that of the end
        guarded.start()
        wait_for(lambda: daemon.unready() == "", "the broker to be found again", 90)
        send()
        wait_for(lambda: daemon.value("vibration_samples_received_total") == 2400, "samples", 60)
        assert "ERROR" not in daemon.log.read_text()
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    began_s = time.monotonic()
    error = refusal(
        "record", "--url", f"kafkas://{broker.bootstrap}/guarded", "--user", "monitor", "--password-file", wrong,
        "--ca-file", guarded.ca_file, "--topic", "plant/fan/x", "--sampling-rate-hz", "12000", "--unit", "g",
        "--duration", "1s", "--out", tmp_path / "fan.npz",
    )  # fmt: skip
    assert "Authentication failed" in str(error)
    assert time.monotonic() - began_s < 60
