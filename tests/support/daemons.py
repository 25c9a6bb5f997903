"""The daemon as a subprocess, as systemd would run it."""

import contextlib
import subprocess
import sys
import urllib.error
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.servers import answers, free_port, get, process, wait_for

SENSOR = {
    "topic": "plant/{machine}/{axis}",
    "payload": {"format": "float32"},
    "sampling_rate_hz": 12000,
}


@dataclass
class RunningDaemon:
    """A daemon that answers."""

    address: str
    config: Path
    process: "subprocess.Popen[str]"
    log: Path

    def values(self, name: str, **labels: str) -> list[float]:
        """Values of the series of one name that have these labels."""
        return [
            sample.value
            for family in text_string_to_metric_families(get(f"{self.address}/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def page(self) -> dict[str, float]:
        """All series of one scrape that have a name of their own (one channel), by name."""
        families = text_string_to_metric_families(get(f"{self.address}/metrics"))
        return {sample.name: sample.value for family in families for sample in family.samples}

    def value(self, name: str, **labels: str) -> float:
        """The one value, 0 if there is none."""
        found = self.values(name, **labels)
        assert len(found) <= 1
        return found[0] if found else 0.0

    def unready(self) -> str:
        """Why it is not ready; empty if it is."""
        try:
            get(f"{self.address}/-/ready")
        except urllib.error.HTTPError as error:
            return error.read().decode()
        return ""


@contextlib.contextmanager
def running_daemon(
    folder: Path,
    broker_port: int,
    text: str = "",
    environment: dict[str, str] | None = None,
    program: Sequence[str | Path] = ("-m", "monitor"),
) -> Iterator[RunningDaemon]:
    """Start a daemon with the sensor ``plant/{machine}/{axis}``; ``text`` is more configuration.

    ``program`` is what Python runs before the arguments of the command.
    """
    port = free_port()
    config = folder / "config.yaml"
    config.write_text(configuration(broker_port, port, text))
    log = folder / "daemon.log"
    with (
        log.open("w") as stream,
        process(sys.executable, *program, "run", "--config", config, stderr=stream, env=environment) as child,
    ):
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/-/healthy") or child.poll() is not None, "the daemon to answer")
        assert child.poll() is None, log.read_text()
        yield RunningDaemon(address, config, child, log)


def configuration(broker_port: int, http_port: int, text: str = "") -> str:
    """The text of a configuration."""
    sensors = "" if "sensors:" in text else f"sensors: [{SENSOR}]\n"
    mqtt = f"mqtt: {{url: 'mqtt://127.0.0.1:{broker_port}', reconnect_min: 50ms, reconnect_max: 200ms}}\n"
    before = "" if "mqtt:" in text or "kafka:" in text else mqtt
    return f"{before}http: {{listen: '127.0.0.1:{http_port}', reload: true}}\n{sensors}{text}"
