"""What ``diagnose`` names: real faults whole and in pieces, healthy machines, noise, simulated faults at the alarm.

    python tests/benchmarks/diagnosis.py [--part cwru] [--trials 10000]

A fault counts as right if it is named first, as wrong if anything else is named. Healthy pieces and noise are tried as
often as ``--trials`` says; what is named of them is wrong.

Simulated faults are tried from the smallest size at which the score raises the alarm; see
:mod:`tests.benchmarks.diagnosis_alarm`.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.diagnosis.bearings import PUBLIC, Bearing, public_bearing
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.naming import P_LIMIT, Named, name_faults
from monitor.core.diagnosis.whitening import whitened
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from tests.benchmarks import detection_data as data
from tests.benchmarks.diagnosis_alarm import NAMES, Counted, name_at_alarm, random_machine, sizes_at_alarm, verdict

RATE = 12000.0
CWRU = {
    "Normal_0": (None, 1796.0),
    "OR007at6_0": ("outer race", 1796.0),
    "OR021at6_0": ("outer race", 1796.0),
    "IR007_0": ("inner race", 1797.0),
    "IR021_0": ("inner race", 1797.0),
    "B007_0": ("ball", 1796.0),
    "B021_0": ("ball", 1796.0),
}
MACHINES = range(1, 13)
"""Seeds of the simulated machines; the rules of naming were made on others."""

DAYS = 1
"""Days of each machine, fault and size; each has two looks."""


def public(designation: str) -> Bearing:
    """A bearing that is known."""
    found = public_bearing(designation)
    assert found is not None
    return found


def named(
    samples: list[Float32],
    rate_hz: float,
    rpm: float,
    bearing: Bearing,
    gears: tuple[int, ...] = (),
    healthy: Lines | None = None,
) -> Named:
    """What comes out of records."""
    white = [whitened(record) for record in samples]
    return name_faults(white, rate_hz, rpm / 60, [bearing], gears, healthy=healthy)


def names(
    samples: list[Float32], rate_hz: float, rpm: float, bearing: Bearing, gears: tuple[int, ...] = ()
) -> list[str]:
    """What is named of records."""
    return [finding.fault for finding in named(samples, rate_hz, rpm, bearing, gears).findings]


def pieces(samples: Float32, size: int) -> Iterator[Float32]:
    """Consecutive pieces."""
    for start in range(0, samples.size - size + 1, size):
        yield samples[start : start + size]


def cwru(_: int) -> None:
    """Real faults: whole and in pieces, at both ends of the machine, with a speed that is wrong."""
    for channel in ("DE", "FE"):
        for seconds, error in ((10.0, 0.0), (5.0, 0.0), (3.0, 0.0), (3.0, 0.01), (3.0, -0.01)):
            counted: Counter[str] = Counter()
            for name, (fault, rpm) in CWRU.items():
                samples = data.cwru(name, channel)
                for piece in pieces(samples, min(samples.size, round(seconds * RATE))):
                    counted[verdict(names([piece], RATE, rpm * (1 + error), public("6205")), fault)] += 1
            print(f"CWRU {channel}, pieces of {seconds:g} s, speed off by {error:+.0%}: {dict(counted)}", flush=True)


def noise(trials: int) -> None:
    """White noise, 3 s at 12 kHz."""
    named = 0
    for seed in range(trials):
        samples = np.random.default_rng(seed).normal(size=36_000).astype(np.float32)
        named += bool(names([samples], RATE, 1797.0, public("6205")))
    print(
        f"noise: {named} of {trials} named; at p <= {P_LIMIT:g} at most {P_LIMIT * trials:g} are expected", flush=True
    )


def healthy(trials: int) -> None:
    """Pieces of 3 s of healthy recordings at random places, with the shipped bearings in turn.

    Only at CWRU is it the machine's own; elsewhere a rate of the machine may match by accident. The same is tried in
    comparison with a healthy baseline, as in the daemon.
    """
    rng = np.random.default_rng(0)
    sources: dict[str, tuple[Float32, float, float]] = {
        "CWRU DE": (data.cwru("Normal_0"), RATE, 1796.0),
        "CWRU FE": (data.cwru("Normal_0", "FE"), RATE, 1796.0),
    }
    for speed in (800, 1000, 1200):
        sources[f"UESTC {speed} rpm"] = (data.uestc(f"healthy_{speed}rpm"), 20_000.0, float(speed))
    for load in (0, 20, 40, 50, 60, 80):
        sources[f"gearbox {load} %"] = (data.gearbox("h", load)[:, 0], 10_000.0, 1800.0)
    alone: dict[str, Counter[str]] = {name: Counter() for name in sources}
    compared: dict[str, Counter[str]] = {name: Counter() for name in sources}
    before: dict[tuple[str, str], Lines] = {}
    for trial in range(trials):
        name = list(sources)[trial % len(sources)]
        samples, rate, rpm = sources[name]
        size = min(samples.size, round(3 * rate))
        # The first half is the baseline, two pieces as in the daemon; pieces of the second half are tried.
        start = int(rng.integers(samples.size // 2, max(samples.size // 2 + 1, samples.size - size + 1)))
        bearing = public(list(PUBLIC)[(trial // len(sources)) % len(PUBLIC)])
        key = name, bearing.name
        if key not in before:
            first, second = (named([samples[at : at + size]], rate, rpm, bearing) for at in (0, samples.size // 4))
            before[key] = first.lines.and_also(second.lines)
        piece = [samples[start : start + size]]
        alone[name].update(names(piece, rate, rpm, bearing) or ["not named"])
        found = named(piece, rate, rpm, bearing, healthy=before[key]).findings
        compared[name].update([one.fault for one in found] or ["not named"])
    for name in sources:
        print(f"healthy {name}: {dict(alone[name])}, compared with a baseline {dict(compared[name])}", flush=True)


def simulator(_: int) -> None:
    """Simulated faults from the smallest size that raises the alarm, of random machines."""
    engine = load_engine(load_artefact(Path("models/reference")), "onnxruntime")
    counted: Counted = {}
    at_db: dict[str, list[float]] = {}
    for seed in MACHINES:
        machine = random_machine(seed)
        found = sizes_at_alarm(engine, machine)
        for kind, (_size, level_db) in found.items():
            at_db.setdefault(NAMES[kind], []).append(level_db)
        name_at_alarm(machine, {kind: size for kind, (size, _) in found.items()}, DAYS, counted)
    for fault, levels_db in at_db.items():
        print(f"{fault}: the alarm comes at {min(levels_db):.0f} to {max(levels_db):.0f} dB of the healthy signal")
    for (fault, above_db, looks), verdicts in counted.items():
        print(f"{fault}, {above_db:g} dB above the alarm, after {looks} looks: {dict(verdicts)}")


def femto(_: int) -> None:
    """What is named along the life of four bearings, of 100 records at a time; printed as it is."""
    speeds = {"1_1": 1800.0, "1_2": 1800.0, "2_2": 1650.0, "3_2": 1500.0}
    bearing = replace(public("PRONOSTIA"), name="test bearing")
    for name, rpm in speeds.items():
        records = data.femto(name)
        life = []
        for start in range(0, len(records) - 99, max(100, len(records) // 12)):
            found = names(list(records[start : start + 100]), 25_600.0, rpm, bearing)
            life.append(f"{start / len(records):.0%} {', '.join(found) or '-'}")
        print(f"FEMTO {name}: {'; '.join(life)}", flush=True)


PARTS: dict[str, Callable[[int], None]] = {
    "cwru": cwru,
    "noise": noise,
    "healthy": healthy,
    "femto": femto,
    "simulator": simulator,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=list(PARTS), action="append", help="only this part")
    parser.add_argument("--trials", type=int, default=5000, help="of noise, and of healthy pieces")
    given = parser.parse_args()
    for part in given.part or PARTS:
        PARTS[part](given.trials)
