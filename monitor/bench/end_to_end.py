"""The end-to-end benchmark over a real broker: sends a load and reads the results from the daemon's metrics.

The daemon runs as a separate process, as in production; this process sends the load. CPU times come from the kernel,
per process.
"""

import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from monitor.bench.alone import bench_calibration
from monitor.bench.load import Load, Sent, send_load
from monitor.bench.load_kafka import own_topic, send_load_kafka
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.errors import MonitorError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.runtime.processes import interpreter, procfs
from monitor.shipped import shipped

BLOCK_SAMPLES = 100
"""Samples of a block of the shipped model."""

QUIET_S = 1.0
"""Seconds without change after which everything has arrived. Shorter: the last messages of a slow broker are missed.
Longer: the benchmark takes longer."""

LOOK_S = 0.5
"""Seconds between two looks whether everything has arrived. Shorter: pages take processor time that the load did not
cause. Longer: the time of recovery is less exact."""

CALIBRATION = "bench.calibration"

OWN_NAME = "vibration-monitor-bench-{}"
"""Name of the benchmark's clients, its group and its topic, with the process in it."""

SCRAPES = 10.0
"""Pause between two scrapes, in multiples of the time that one takes, at least a second. Lower: at thousands of
channels the scrapes are a load of their own. Higher: memory and lag are seen at fewer instants."""

OVERLOAD = re.compile(r'^vibration_blocks_skipped_total\{.*reason="overload"\} (\S+)$', re.MULTILINE)
LAG = re.compile(r"^vibration_kafka_lag_records (\S+)$", re.MULTILINE)

Samples = dict[str, list[tuple[dict[str, str], float]]]


@dataclass
class EndToEnd:
    """The results of one load."""

    sent: Sent
    """The load that was sent."""
    samples_received: int = 0
    """Samples that the daemon received."""
    blocks_received: int = 0
    """Whole blocks that it received."""
    blocks_scored: int = 0
    """Blocks that it compared with their forecast."""
    blocks_skipped: dict[str, int] = field(default_factory=dict)
    """Blocks that it did not compare, by reason."""
    messages_rejected: dict[str, int] = field(default_factory=dict)
    """Messages that it rejected, by reason."""
    channels_with_score: int = 0
    """Channels with a score at the end."""
    coverage_min: float = 0.0
    """Scored / received blocks of the worst channel, without warm-up."""
    coverage_mean: float = 0.0
    """Mean of scored / received blocks over the channels."""
    coverage_max: float = 0.0
    """Scored / received blocks of the best channel."""
    latency_s_p50: float = 0.0
    """Median latency from the last sample of a block to its score (upper bound of a bucket)."""
    latency_s_p99: float = 0.0
    """99th percentile of the same latency."""
    blocks_a_batch: float = 0.0
    """Mean number of blocks in a batch of a worker."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """CPU seconds of ``generator``, ``daemon`` and its ``workers``."""
    resident_memory_bytes: list[int] = field(default_factory=list)
    """Memory of the daemon and its workers, shared memory counted once; sampled every second during the load."""
    scrape_s: list[float] = field(default_factory=list)
    """Duration of each scrape during the load, in seconds."""
    overload: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the beginning of the load, and the blocks that were skipped as overload by then, at each scrape."""
    lag_records_max: int = 0
    """From Kafka: most records that were still to be read at a scrape."""
    recovered_s: float = 0.0
    """Seconds from the end of the load until the backlog was empty."""

    @property
    def cpu_ms_per_million(self) -> float:
        """Processor time of daemon and workers a million samples that arrived, in ms; NaN: none did."""
        used_s = sum(seconds for name, seconds in self.cpu_s.items() if name != "generator")
        return 1e9 * used_s / self.samples_received if self.samples_received else float("nan")

    @property
    def scored_per_s(self) -> float:
        """Samples a second that were scored, from the beginning of the load until the backlog was empty."""
        return self.blocks_scored * BLOCK_SAMPLES / (self.sent.seconds + self.recovered_s)


def run_end_to_end(
    broker: Mqtt | Kafka, load: Load, *, workers: int = 0, buffer_s: float = 2.0, calibrated: bool = False
) -> EndToEnd:
    """Run a daemon and a load against a broker; with ``calibrated``, every channel also gets a score.

    Raises:
        MonitorError: the broker or the daemon fails.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if isinstance(broker, Kafka):
            broker = stack.enter_context(own_topic(broker, OWN_NAME.format(os.getpid())))
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
                connected = f"vibration_{broker.section}_connected"
                _wait(lambda: _value(_scrape(address), connected) == 1, 20, "the daemon to connect")
                return _observe(address, daemon.pid, broker, load)
            finally:
                daemon.terminate()


def _observe(address: str, pid: int, broker: Mqtt | Kafka, load: Load) -> EndToEnd:
    ended = threading.Event()
    before = _cpu_s(pid)
    result = EndToEnd(Sent(0, 0, 0.0, 0.0))

    def watch() -> None:
        pause_s, first_s = 1.0, time.monotonic()
        while not ended.wait(pause_s):
            began_s = time.monotonic()
            page = _fetch(address)
            result.scrape_s.append(time.monotonic() - began_s)
            pause_s = max(1.0, SCRAPES * result.scrape_s[-1])
            skipped = sum(map(float, OVERLOAD.findall(page)))
            result.overload.append((round(began_s - first_s, 1), int(skipped)))
            lag = LAG.search(page)
            result.lag_records_max = max(result.lag_records_max, int(float(lag[1])) if lag else 0)
            result.resident_memory_bytes.append(sum(map(procfs.proportional_bytes, [pid, *procfs.children(pid)])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result.sent = send_load_kafka(broker, load) if isinstance(broker, Kafka) else send_load(broker, load)
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
    """Wait until nothing more is received or scored; return the time of the last change."""
    settled_s, before = time.monotonic(), -1.0
    deadline_s, lagging = settled_s + 60.0, True
    while (lagging or settled_s + QUIET_S > time.monotonic()) and time.monotonic() < deadline_s:
        page = _scrape(address)
        names = ("vibration_samples_received_total", "vibration_blocks_scored_total", "vibration_queue_bytes")
        now = sum(value for name in names for _, value in page.get(name, []))
        lagging = _value(page, "vibration_kafka_lag_records") > 0
        if now != before:
            settled_s, before = time.monotonic(), now
        time.sleep(LOOK_S)
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
    batches = total("vibration_inference_batch_size_count")
    result.blocks_a_batch = total("vibration_inference_batch_size_sum") / max(1, batches)
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


def _config(broker: Mqtt | Kafka, load: Load, workers: int, buffer_s: float, calibrated: bool) -> str:
    calibration = f", calibration: {CALIBRATION}" if calibrated else ""
    name = OWN_NAME.format(os.getpid())
    own: dict[str, object] = {"client_id": name, "events_topic": None, "baselines_topic": None}
    if isinstance(broker, Kafka):
        own |= {"group": name, "start": "earliest", "conditions_topic": None, "scores_topic": None}
    else:
        own |= {"version": "3.1.1", "status_topic": f"vibration-monitor-bench/{os.getpid()}", "homeassistant": {}}
    return (
        f"{broker.section}: {json.dumps(broker.model_dump(mode='json') | own)}\n"
        "sensors: [{topic: 'load/{machine}/{axis}', payload: {format: float32}, "
        f"sampling_rate_hz: {load.sampling_rate_hz}{calibration}}}]\n"
        f"limits: {{channels: {load.channels}, buffer: {buffer_s}}}\n"
        f"inference: {{workers: {workers}}}\n"
        "http: {listen: '127.0.0.1:0', page: false}\n"
        # The load does not resemble the calibration, so every calibrated channel alarms once.
        "evidence: {enabled: false}\n"
    )


def _address(daemon: "subprocess.Popen[str]") -> str:
    """The address of the daemon, which takes a free port and prints it on standard output."""
    assert daemon.stdout is not None  # noqa: S101 - it is a pipe
    line = daemon.stdout.readline().strip()
    if not line.startswith("http"):
        raise MonitorError(f"bench: the daemon did not start: {line or 'it printed nothing'}")
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
            raise MonitorError(f"bench: timed out after {timeout_s:g} s waiting for {what}")
        time.sleep(0.05)


def _cpu_s(pid: int) -> dict[str, float]:
    """CPU seconds used so far by a daemon and its workers."""
    return {"daemon": procfs.cpu_s(pid), "workers": sum(map(procfs.cpu_s, procfs.children(pid)))}
