"""Whether the daemon leaks: hours of a simulated plant with faults mixed in, and the slopes of what it holds.

    python tests/benchmarks/soak.py --duration 1h [--every 10s] [--sensors 4] [--csv FILE] [--seed 1]

The real daemon runs beside a real mosquitto, on loopback, in folders that are deleted at the end. Memory is
proportional: a page that processes share counts once. The first quarter of the time, at most fifteen minutes, is left
out: caches and the ring fill. A slope is that of the least squares through the smallest values of twenty stretches of
the rest: what a request or a capture needs for a moment is no leak, and neighbouring samples are not independent. Its
standard error comes from the scatter of these values.

Ends by itself, or with Ctrl-C earlier. Exit status 0: every slope is below its limit by two standard errors, the daemon
lived, still scores, and met no internal error. 1: it is not so. 2: the scatter is too large to tell; run it for longer.
"""

import argparse
import contextlib
import csv
import math
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.core.arrays import Float64
from monitor.demo.run import calibrate_plant
from monitor.quantities import seconds
from monitor.runtime.processes import procfs
from tests.benchmarks.soak_feed import Broker, Feed, Neighbours
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import wait_for

Row = dict[str, float]

MIB = 2**20
LIMITS = {"memory_mib": 1.0, "descriptors": 1.0, "threads": 0.5, "processes": 0.1}
"""Largest growth an hour. Under the unit's MemoryMax there are some 700 MiB to spare, a month at this limit."""

NOISE_MIB = 12.0
"""Growth of memory over a whole run that passes as fragmentation, so that an hour can pass. A leak that grows by less
is found by a longer run."""

STRETCHES = 20
"""Values through which a slope is drawn. Fewer: a larger standard error. More: neighbours depend on one another, and a
short stretch may hold no quiet moment."""

CONFIGURATION = """\
models: {{default: models/demo}}
sensors:
  - {{topic: 'plant/{{machine}}/{{sensor}}/acceleration', payload: {{format: float32}}, sampling_rate_hz: 12000,
     labels: {{axis: x}}}}
  - {{topic: 'gateway/{{machine}}/{{sensor}}/acceleration', payload: {{format: json}}, sampling_rate_hz: 12000,
     labels: {{axis: x}}}}
scoring: {{silent_after: 5s}}
limits: {{channels: 64}}
evidence: {{max_size: 5MB, before: 500ms, after: 500ms}}
state_dir: '{folder}/state'
"""


@dataclass(frozen=True)
class Slope:
    """Growth of one quantity."""

    per_hour: float
    """Slope of the least squares."""
    error: float
    """Its standard error."""

    def verdict(self, limit: float) -> str:
        """``pass``, ``fail``, or ``undecided`` where the scatter is too large to tell."""
        if self.per_hour + 2 * self.error <= limit:
            return "pass"
        return "fail" if self.per_hour - 2 * self.error > limit else "undecided"


def slope(at_s: Float64, values: Float64) -> Slope:
    """Growth an hour of ``values`` (n,) seen at ``at_s`` (n,), through the least of stretches; NaN below 3 samples."""
    count = min(STRETCHES, len(at_s))
    if count < 3:
        return Slope(math.nan, math.nan)
    hours = np.array([part.mean() for part in np.array_split(at_s, count)]) / 3600.0
    least = np.array([part.min() for part in np.array_split(values, count)])
    centred = hours - hours.mean()
    spread = float(centred @ centred)
    per_hour = float(centred @ least) / spread
    rest = least - least.mean() - per_hour * centred
    return Slope(per_hour, math.sqrt(float(rest @ rest) / (count - 2) / spread))


def open_descriptors(pid: int) -> int:
    """Descriptors that a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> int:
    """Threads of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def held(pid: int) -> Row:
    """What the daemon and its workers hold now."""
    workers = procfs.children(pid)
    row: Row = {"processes": 1.0 + len(workers)}
    for who, pids in (("daemon", [pid]), ("workers", workers)):
        row[f"{who}_resident_mib"] = sum(map(procfs.resident_bytes, pids)) / MIB
        row[f"{who}_proportional_mib"] = sum(map(procfs.proportional_bytes, pids)) / MIB
        row[f"{who}_descriptors"] = float(sum(map(open_descriptors, pids)))
        row[f"{who}_threads"] = float(sum(map(threads, pids)))
        row[f"{who}_cpu_s"] = sum(map(procfs.cpu_s, pids))
    for name, key in (("memory_mib", "proportional_mib"), ("descriptors", "descriptors"), ("threads", "threads")):
        row[name] = row[f"daemon_{key}"] + row[f"workers_{key}"]
    return row


def figures(daemon: RunningDaemon) -> Row:
    """What the daemon says of itself."""
    totals = {
        "messages": "vibration_mqtt_messages_received_total",
        "rejected": "vibration_messages_rejected_total",
        "blocks_scored": "vibration_blocks_scored_total",
        "internal_errors": "vibration_internal_errors_total",
        "reconnects": "vibration_mqtt_reconnects_total",
        "channels": "vibration_channels",
        "captures": "vibration_evidence_files_written_total",
    }
    return {name: sum(daemon.values(metric)) for name, metric in totals.items()}


def sample(daemon: RunningDaemon, out: IO[str], duration_s: float, every_s: float) -> list[Row]:
    """A row every so many seconds, written to ``out`` at once; ends early when the daemon does, or with Ctrl-C."""
    rows: list[Row] = []
    began_s = time.monotonic()
    table: csv.DictWriter[str] | None = None
    with contextlib.suppress(KeyboardInterrupt):
        while (at_s := time.monotonic() - began_s) < duration_s and daemon.process.poll() is None:
            row = {"at_s": at_s, **held(daemon.process.pid), **figures(daemon)}
            rows.append(row)
            if table is None:
                table = csv.DictWriter(out, list(row), lineterminator="\n")
                table.writeheader()
            table.writerow({name: f"{value:.6g}" for name, value in row.items()})
            out.flush()
            time.sleep(max(0.0, began_s + len(rows) * every_s - time.monotonic()))
    return rows


@contextlib.contextmanager
def plant(sensors: int, seed: int) -> Iterator[tuple[RunningDaemon, Feed]]:
    """A daemon whose sensors, broker and neighbours are at work; gives it when every sensor has a score."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="vibration-monitor-soak-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        state = folder / "state"
        state.mkdir()
        calibrate_plant(state)
        broker = Broker(folder)
        stack.callback(broker.stop)
        daemon = stack.enter_context(running_daemon(folder, broker.port, CONFIGURATION.format(folder=folder)))
        feed = Feed(broker, sensors, seed)
        neighbours = Neighbours(daemon.address, broker, daemon.config, feed.done)
        for work in (feed, neighbours):
            thread = threading.Thread(target=work.run, args=(stop,))
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        wait_for(lambda: len(daemon.values("vibration_anomaly_score")) >= sensors, "a score of every sensor", 60)
        yield daemon, feed


def judge(rows: list[Row], daemon: RunningDaemon) -> int:
    """Print slopes and verdicts; returns the exit status."""
    warm_s = min(900.0, rows[-1]["at_s"] / 4)
    rest = [row for row in rows if row["at_s"] >= warm_s]
    at_s = np.array([row["at_s"] for row in rest])
    limits = LIMITS | {"memory_mib": max(LIMITS["memory_mib"], NOISE_MIB / (np.ptp(at_s) / 3600.0))}
    verdicts = []
    print(f"{'an hour':>28}  {'slope':>9}  {'error':>8}  {'first':>8}  {'last':>8}  {'limit':>6}")
    for name in rest[0]:
        if not re.search(r"mib|descriptors|threads|processes|channels", name):
            continue
        values = np.array([row[name] for row in rest])
        found = slope(at_s, values)
        limit = limits.get(name)
        verdict = "" if limit is None else found.verdict(limit)
        verdicts.append(verdict)
        shown = "" if limit is None else f"{limit:.1f}"
        print(
            f"{name:>28}  {found.per_hour:9.3f}  {found.error:8.3f}  {values[0]:8.1f}  {values[-1]:8.1f}  "
            f"{shown:>6}  {verdict}"
        )
    alive = daemon.process.poll() is None
    recent = [row for row in rows if row["at_s"] >= rows[-1]["at_s"] - 60]
    scored = recent[-1]["blocks_scored"] - recent[0]["blocks_scored"]
    errors = rows[-1]["internal_errors"]
    print(f"alive: {alive}; blocks scored in the last minute: {scored:.0f}; internal errors: {errors:.0f}")
    if not alive or scored <= 0 or errors or "fail" in verdicts:
        return 1
    return 2 if "undecided" in verdicts else 0


def main() -> None:
    """Run, sample, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--duration", type=seconds, default=3600.0, metavar="1h")
    parser.add_argument("--every", type=seconds, default=10.0, metavar="10s")
    parser.add_argument("--sensors", type=int, default=4, help="1 to 9, at 12 kHz each")
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with given.csv.open("w") as out, plant(given.sensors, given.seed) as (daemon, feed):
        print(f"running for {given.duration:.0f} s; samples go to {given.csv}", flush=True)
        rows = sample(daemon, out, given.duration, given.every)
        status = judge(rows, daemon)
        print("done to it: " + ", ".join(f"{count} {name}" for name, count in sorted(feed.done.items())))
        if status == 1:
            print("the log ends:\n" + "\n".join(daemon.log.read_text(errors="replace").splitlines()[-20:]))
    sys.exit(status)


if __name__ == "__main__":
    main()
