import ssl
import subprocess
import time
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.errors import ConfigurationError
from monitor.runtime.credentials.certificates import certificate_expiries, load_certificate, not_after
from tests.support.authority import Authority
from tests.support.daemons import SENSOR
from tests.support.programs import program

DAY_S = 86400.0


def expiry(file: Path) -> float:
    """What openssl says."""
    done = subprocess.run(
        [program("openssl"), "x509", "-enddate", "-noout", "-in", file], capture_output=True, text=True, check=True
    )
    return ssl.cert_time_to_seconds(done.stdout.strip().removeprefix("notAfter="))


@pytest.mark.parametrize("days", [1, 400, 20_000])  # the last is in a year past 2050, written in another way
def test_the_end_is_what_openssl_says(tmp_path: Path, days: int) -> None:
    cert, _ = Authority(tmp_path / "a").sign("x", days)
    assert not_after(ssl.PEM_cert_to_DER_cert(cert.read_text())) == expiry(cert)
    assert expiry(cert) == pytest.approx(time.time() + days * DAY_S, abs=60)


def test_the_first_of_our_chain_and_the_last_of_the_authorities_count(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "a")
    long, key = authority.sign("long", 100)
    short, _ = authority.sign("short", 5)
    chain, trusted = tmp_path / "chain.crt", tmp_path / "trusted.crt"
    chain.write_text(long.read_text() + short.read_text())
    trusted.write_text("old one\n" + short.read_text() + authority.certificate.read_text())
    files = {"cert_file": chain, "key_file": key}
    mqtt = {"url": "mqtts://127.0.0.1", "tls": {**files, "ca_file": trusted}}
    config = Config.model_validate({"sensors": [SENSOR], "http": files, "mqtt": mqtt})
    assert certificate_expiries(config) == {
        str(chain): expiry(short),
        str(trusted): expiry(authority.certificate),
    }
    assert certificate_expiries(Config.model_validate({"sensors": [SENSOR]})) == {}


@pytest.mark.parametrize("damage", ["key", "text", "cut", "other"])
def test_a_file_without_certificates_is_named(tmp_path: Path, damage: str) -> None:
    cert, key = Authority(tmp_path / "a").sign("x")
    der = ssl.PEM_cert_to_DER_cert(cert.read_text())
    bad = tmp_path / "bad.crt"
    bad.write_text(
        {
            "key": key.read_text(),
            "text": "hello",
            "cut": ssl.DER_cert_to_PEM_cert(der[:60]),
            "other": ssl.DER_cert_to_PEM_cert(b"\x02\x01\x05"),
        }[damage]
    )
    config = Config.model_validate({"sensors": [SENSOR], "http": {"cert_file": bad, "key_file": key}})
    with pytest.raises(ConfigurationError, match=r"bad\.crt"):
        certificate_expiries(config)
    with pytest.raises(ConfigurationError, match=r"http: cannot load the certificate .*bad\.crt with the key"):
        load_certificate(ssl.create_default_context(), bad, key, "http")


def test_a_key_with_a_passphrase_is_refused_without_asking(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path / "a").sign("x")
    locked = tmp_path / "locked.key"
    subprocess.run(
        [program("openssl"), "pkcs8", "-topk8", "-in", key, "-passout", "pass:secret", "-out", locked], check=True
    )
    with pytest.raises(ConfigurationError, match="without a passphrase"):
        load_certificate(ssl.create_default_context(), cert, locked, "http")


def test_certificates_without_encryption_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="mqtts://"):
        Config.model_validate({"sensors": [SENSOR], "mqtt": {"url": "mqtt://broker", "tls": {"ca_file": "ca.crt"}}})
