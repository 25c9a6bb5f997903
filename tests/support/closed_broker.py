"""A broker that lets in nobody without everything: TLS, a client certificate and a password."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.authority import Authority
from tests.support.programs import program
from tests.support.servers import free_port, mosquitto

PASSWORD = "correct horse"  # noqa: S105 - of a broker that lives for one test


@contextlib.contextmanager
def closed_broker(folder: Path, authority: Authority) -> Iterator[int]:
    """A broker that wants TLS, a client certificate of the authority, and a password."""
    port = free_port()
    cert, key = authority.sign("broker")
    passwords = folder / "passwords"
    subprocess.run([program("mosquitto_passwd"), "-b", "-c", passwords, "monitor", PASSWORD], check=True)
    lines = [
        f"listener {port} 127.0.0.1",
        f"cafile {authority.certificate}",
        f"certfile {cert}",
        f"keyfile {key}",
        "require_certificate true",
        "allow_anonymous false",
        f"password_file {passwords}",
    ]
    with mosquitto(folder, port, *lines):
        yield port
