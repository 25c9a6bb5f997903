"""How much of what the pipeline alone carries is carried end to end, over Kafka and over MQTT, in one run.

A thousand calibrated channels; broker, generator, daemon and workers share the machine. For each source it prints what
came, what was scored, the latency, and the processor time of every process a million samples. From these times follows
the share of the pipeline's throughput that is left for the whole chain, whatever else the machine does meanwhile:
time of the pipeline alone over time of everything. Needs mosquitto and the Kafka of the tests.

    python tests/benchmarks/throughput.py [--load 1.0] [--seconds 20] [--rounds 2] [--message-samples 1000]
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.bench.alone import bench_pipeline
from monitor.bench.end_to_end import EndToEnd, run_end_to_end
from monitor.bench.load import Load
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.model.artefact.artefact import load_artefact
from monitor.runtime.processes import procfs
from monitor.shipped import shipped
from tests.support.kafka.broker import kafka
from tests.support.programs import program
from tests.support.servers import free_port, listening, process, wait_for

JVM = ("-Xmx512m", "-Xms256m", "-XX:+UseSerialGC")
"""A broker that moves much: full compilation."""

WARM_UP_S = 15.0

CHANNELS, WORKERS, RATE_HZ = 1000, 2, 12_800.0


@dataclass
class Source:
    """A source and the process of its broker."""

    settings: Mqtt | Kafka
    broker_pid: int


def measure(source: Source, load: Load) -> tuple[EndToEnd, dict[str, float]]:
    """One run, and the processor time of each process a million samples that were scored, in ms."""
    before_s = procfs.cpu_s(source.broker_pid)
    result = run_end_to_end(source.settings, load, workers=WORKERS, calibrated=True)
    used_s = {**result.cpu_s, "broker": procfs.cpu_s(source.broker_pid) - before_s}
    return result, {name: 1e9 * seconds / (100 * result.blocks_scored) for name, seconds in used_s.items()}


def shown(name: str, result: EndToEnd, cost_ms: dict[str, float], alone_ms: float, alone_rate: float) -> float:
    """Print one run; returns the share of the pipeline's throughput by processor time."""
    share = alone_ms / sum(cost_ms.values())
    sent = result.sent
    costs = ", ".join(f"{part} {value:.1f}" for part, value in cost_ms.items())
    scored = result.blocks_scored / max(1, result.blocks_received - result.blocks_skipped.get("warm_up", 0))
    arrived, together_ms = result.samples_received / sent.samples, sum(cost_ms.values())
    done = f"{arrived:.1%} arrived, {scored:.1%} of it scored"
    print(f"{name}: {sent.samples / sent.seconds / 1e6:.1f} million/s sent, {done}")
    print(f"  {result.blocks_a_batch:.0f} blocks a batch")
    print(f"  latency at most {1e3 * result.latency_s_p50:g} ms (median), {1e3 * result.latency_s_p99:g} ms (99 %)")
    rate = f"{result.scored_per_s / 1e6:.1f} million/s scored until all was done"
    print(f"  {rate}: {result.scored_per_s / 100 / alone_rate:.2f} of the pipeline at that time")
    print(f"  ms a million samples scored: {costs}; together {together_ms:.1f}, pipeline alone {alone_ms:.1f}")
    print(f"  share by processor time: {share:.2f}", flush=True)
    return share


def main() -> None:
    """Print one paragraph a round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=float, default=1.0, help="multiple of 12.8 million samples/s")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--message-samples", type=int, default=1000)
    parser.add_argument("--sources", nargs="+", default=["kafka", "mqtt"], choices=["kafka", "mqtt"])
    chosen = parser.parse_args()
    artefact = load_artefact(shipped("models/reference"))
    load = Load(CHANNELS, RATE_HZ, chosen.message_samples, chosen.seconds, chosen.load)
    shares: dict[str, list[float]] = {name: [] for name in chosen.sources}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources = {}
        if "kafka" in chosen.sources:
            cluster = stack.enter_context(kafka(folder, jvm=JVM))
            sources["kafka"] = Source(Kafka(bootstrap=cluster.bootstrap), cluster.process.pid)
        if "mqtt" in chosen.sources:
            port = free_port()
            (folder / "mosquitto.conf").write_text(
                f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n"
            )
            child = stack.enter_context(process(program("mosquitto"), "-c", folder / "mosquitto.conf", stderr=DEVNULL))
            wait_for(lambda: listening(port), "mosquitto to listen")
            sources["mqtt"] = Source(Mqtt(url=f"mqtt://127.0.0.1:{port}"), child.pid)
        for source in sources.values():  # a Java machine compiles what it does often
            measure(source, Load(CHANNELS, RATE_HZ, chosen.message_samples, WARM_UP_S, 0.25))
        for _ in range(chosen.rounds):
            alone = bench_pipeline(artefact, "onnxruntime", CHANNELS, WORKERS)
            print(f"pipeline alone: {alone.blocks_per_s:,.0f} blocks/s, {alone.cpu_ms_per_million:.1f} ms a million")
            for name, source in sources.items():
                result, cost_ms = measure(source, load)
                shares[name].append(shown(name, result, cost_ms, alone.cpu_ms_per_million, alone.blocks_per_s))
    for name, found in shares.items():
        print(f"{name}: {statistics.median(found):.2f} of what the pipeline alone carries")


if __name__ == "__main__":
    main()
