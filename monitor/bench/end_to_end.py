"""End to end over a real broker: a load goes in, and the daemon's own metrics say what became of it.

The daemon runs as a process of its own, as in production; the load comes from this process. What is said of processor
time is the kernel's account of each process. Refuses to know: how the daemon works inside.
"""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from monitor.bench.alone import bench_calibration
from monitor.bench.load import Load, Sent, send_load
from monitor.config import Mqtt
from monitor.errors import MonitorError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.runtime.lanes import interpreter
from monitor.runtime.web import procfs
from monitor.shipped import shipped

QUIET_S = 0.5
"""Time without change after which all has arrived. Shorter: a slow broker's last messages are missed."""

CALIBRATION = "bench.calibration"

Samples = dict[str, list[tuple[dict[str, str], float]]]


@dataclass
class EndToEnd:
    """What became of a load."""

    sent: Sent
    """What went in."""
    samples_received: int = 0
    """What arrived."""
    blocks_received: int = 0
    """Whole blocks of it."""
    blocks_scored: int = 0
    """Blocks compared with their forecast."""
    blocks_skipped: dict[str, int] = field(default_factory=dict)
    """Blocks not compared, by reason."""
    messages_rejected: dict[str, int] = field(default_factory=dict)
    """Messages not used, by reason."""
    channels_with_score: int = 0
    """Channels that have a score at the end."""
    coverage_min: float = 0.0
    """Scored / received of the worst channel, warm-up left out."""
    coverage_mean: float = 0.0
    """Of the mean channel."""
    coverage_max: float = 0.0
    """Of the best."""
    latency_s_p50: float = 0.0
    """Bound of the bucket with the median of last sample in to score."""
    latency_s_p99: float = 0.0
    """Of the 99th percentile."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """Processor time: ``generator``, ``daemon`` and its ``workers``."""
    resident_memory_bytes: list[int] = field(default_factory=list)
    """The daemon's and its workers', what they share counted once; once a second while the load ran."""
    scrape_s: list[float] = field(default_factory=list)
    """Seconds of each scrape while the load ran."""
    recovered_s: float = 0.0
    """From the end of the load until nothing waited."""


def run_end_to_end(
    broker: Mqtt, load: Load, *, workers: int = 0, buffer_s: float = 2.0, calibrated: bool = False
) -> EndToEnd:
    """Run a daemon and a load against a broker; ``calibrated``: every channel gets a score too.

    Raises:
        MonitorError: the broker or the daemon fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        if calibrated:
            sha256 = load_artefact(shipped("models/reference")).sha256
            noise = replace(bench_calibration(100, load.sampling_rate_hz), warmup_blocks=25)
            regimes = {ANY_REGIME: noise}
            save_calibrations(
                Path(folder) / CALIBRATION, regimes, model_sha256=sha256, channel="bench", made={"recordings": []}
            )
        config.write_text(_config(broker, load, workers, buffer_s, calibrated), encoding="utf-8")
        with subprocess.Popen(
            interpreter.command("monitor", "run", "--config", str(config), "--log-level", "error", "--announce"),
            stdout=subprocess.PIPE,
            text=True,
        ) as daemon:
            try:
                address = _address(daemon)
                _wait(lambda: _value(_scrape(address), "vibration_mqtt_connected") == 1, 20, "the daemon to connect")
                return _observe(address, daemon.pid, broker, load)
            finally:
                daemon.terminate()


def _observe(address: str, pid: int, broker: Mqtt, load: Load) -> EndToEnd:
    ended = threading.Event()
    before = _cpu_s(pid)
    result = EndToEnd(Sent(0, 0, 0.0, 0.0))

    def watch() -> None:
        while not ended.wait(1.0):
            began_s = time.monotonic()
            _fetch(address)
            result.scrape_s.append(time.monotonic() - began_s)
            result.resident_memory_bytes.append(sum(map(procfs.proportional_bytes, [pid, *procfs.children(pid)])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result.sent = send_load(broker, load)
    finally:
        ended.set()
        watcher.join()
    ended_s = time.monotonic()
    result.recovered_s = _settle(address) - ended_s
    after = _cpu_s(pid)
    result.cpu_s = {"generator": result.sent.cpu_s, **{name: seconds - before[name] for name, seconds in after.items()}}
    _count(result, _scrape(address))
    return result


def _settle(address: str) -> float:
    """Wait until nothing arrives or is scored any more; the instant from which on nothing did."""
    settled_s, before = time.monotonic(), -1.0
    deadline_s = settled_s + 60.0
    while settled_s + QUIET_S > time.monotonic() < deadline_s:
        page = _scrape(address)
        names = ("vibration_samples_received_total", "vibration_blocks_scored_total", "vibration_queue_bytes")
        now = sum(value for name in names for _, value in page.get(name, []))
        if now != before:
            settled_s, before = time.monotonic(), now
        time.sleep(0.05)
    return settled_s


def _count(result: EndToEnd, page: Samples) -> None:
    def total(name: str) -> int:
        return int(sum(value for _, value in page.get(name, [])))

    result.samples_received = total("vibration_samples_received_total")
    result.blocks_received = total("vibration_blocks_received_total")
    result.blocks_scored = total("vibration_blocks_scored_total")
    result.channels_with_score = len(page.get("vibration_anomaly_score", []))
    for family, counts in (
        ("vibration_blocks_skipped_total", result.blocks_skipped),
        ("vibration_messages_rejected_total", result.messages_rejected),
    ):
        for labels, value in page.get(family, []):
            if value:
                counts[labels["reason"]] = counts.get(labels["reason"], 0) + int(value)
    result.coverage_min, result.coverage_mean, result.coverage_max = _coverage(page)
    result.latency_s_p50, result.latency_s_p99 = (
        _quantile(page, "vibration_sample_to_score_seconds", q) for q in (0.5, 0.99)
    )


def _coverage(page: Samples) -> tuple[float, float, float]:
    received: dict[str, float] = defaultdict(float)
    scored: dict[str, float] = defaultdict(float)
    for labels, value in page.get("vibration_blocks_received_total", []):
        received[labels["machine"]] += value
    for labels, value in page.get("vibration_blocks_skipped_total", []):
        if labels["reason"] == "warm_up":
            received[labels["machine"]] -= min(value, 25)
    for labels, value in page.get("vibration_blocks_scored_total", []):
        scored[labels["machine"]] += value
    shares = [scored[name] / count for name, count in received.items() if count > 0]
    return (min(shares), sum(shares) / len(shares), max(shares)) if shares else (0.0, 0.0, 0.0)


def _quantile(page: Samples, name: str, q: float) -> float:
    buckets = [(float(labels["le"]), value) for labels, value in page.get(f"{name}_bucket", [])]
    total = max((value for _, value in buckets), default=0.0)
    return min((bound for bound, value in buckets if total and value >= q * total), default=float("nan"))


def _config(broker: Mqtt, load: Load, workers: int, buffer_s: float, calibrated: bool) -> str:
    calibration = f", calibration: {CALIBRATION}" if calibrated else ""
    own: dict[str, object] = {
        "client_id": f"vibration-monitor-bench-{os.getpid()}",
        "version": "3.1.1",
        "status_topic": f"vibration-monitor-bench/{os.getpid()}",
        "events_topic": None,
        "homeassistant": {},
    }
    return (
        f"mqtt: {json.dumps(broker.model_dump(mode='json') | own)}\n"
        "sensors: [{topic: 'load/{machine}/{axis}', payload: {format: float32}, "
        f"sampling_rate_hz: {load.sampling_rate_hz}{calibration}}}]\n"
        f"limits: {{channels: {load.channels}, buffer: {buffer_s}}}\n"
        f"inference: {{workers: {workers}}}\n"
        "http: {listen: '127.0.0.1:0', page: false}\n"
        # The load is no machine of the model's: calibrated channels alarm, once each.
        "evidence: {enabled: false}\n"
    )


def _address(daemon: "subprocess.Popen[str]") -> str:
    """Where the daemon listens: it takes a free port and says which, on standard output."""
    assert daemon.stdout is not None  # noqa: S101 - it is a pipe
    line = daemon.stdout.readline().strip()
    if not line.startswith("http"):
        raise MonitorError(f"bench: the daemon did not start: {line or 'it said nothing'}")
    return line


def _fetch(address: str) -> str:
    with urlopen(f"{address}/metrics", timeout=30) as answer:  # noqa: S310 - our own daemon
        text: str = answer.read().decode()
    return text


def _scrape(address: str) -> Samples:
    page: Samples = defaultdict(list)
    for family in text_string_to_metric_families(_fetch(address)):
        for sample in family.samples:
            page[sample.name].append((sample.labels, sample.value))
    return page


def _value(page: Samples, name: str) -> float:
    return page[name][0][1] if page.get(name) else 0.0


def _wait(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise MonitorError(f"bench: waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.05)


def _cpu_s(pid: int) -> dict[str, float]:
    """Processor seconds so far of a daemon and of its workers."""
    return {"daemon": procfs.cpu_s(pid), "workers": sum(map(procfs.cpu_s, procfs.children(pid)))}
