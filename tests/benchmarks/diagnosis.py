"""What ``diagnose`` names: real faults whole and in pieces, healthy machines, noise, simulated faults at the alarm.

    python tests/benchmarks/diagnosis.py [--part cwru] [--trials 10000]

A fault counts as right if it is named first, as wrong if anything else is named. Healthy pieces and noise are tried as
often as ``--trials`` says; what is named of them is wrong.

Simulated faults are tried from the smallest size at which the score raises the alarm; see
:mod:`tests.benchmarks.diagnosis_alarm`.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.diagnosis.bearings import PUBLIC, Bearing, public_bearing
from monitor.core.diagnosis.diagnose import Diagnosis, Facts, Healthy, diagnose
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.naming import P_LIMIT
from monitor.core.diagnosis.together import Together
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.runtime.diagnosis.desk import HEALTHY_LOOKS
from tests.benchmarks import detection_data as data
from tests.benchmarks.diagnosis_alarm import (
    NAMES,
    Counted,
    name_at_alarm,
    random_machine,
    sizes_at_alarm,
    verdict,
)

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

PIECES = 4
"""Healthy pieces that are taken together as looks, at most; most recordings are shorter."""


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
    healthy: Healthy | None = None,
    before: Together | None = None,
) -> Diagnosis:
    """What comes out of records."""
    speeds = [np.full(record.size, rpm) for record in samples]
    return diagnose("", samples, rate_hz, speeds, Facts((bearing,)), healthy=healthy, before=before)


def names(samples: list[Float32], rate_hz: float, rpm: float, bearing: Bearing) -> list[str]:
    """What is named of records."""
    return [finding.fault for finding in named(samples, rate_hz, rpm, bearing).faults]


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
    comparison with a healthy baseline, as in the daemon; then together with the
    pieces that follow, as looks at an alarm.
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
    ways = "alone", "compared with a baseline", "together with what follows"
    counted = {name: {way: Counter[str]() for way in ways} for name in sources}
    before: dict[tuple[str, str], Healthy] = {}
    for trial in range(trials):
        name = list(sources)[trial % len(sources)]
        samples, rate, rpm = sources[name]
        size = min(samples.size, round(3 * rate))
        # The first half is the baseline, as many pieces as the daemon's looks; pieces of the second half are tried.
        last = max(samples.size // 2 + 1, samples.size - size + 1)
        start = int(rng.integers(samples.size // 2, last))
        starts = list(range(start, samples.size - size + 1, size))[:PIECES] or [start]
        bearing = public(list(PUBLIC)[(trial // len(sources)) % len(PUBLIC)])
        key = name, bearing.name
        if key not in before:
            before[key] = baseline(list(pieces(samples[: max(size, samples.size // 2)], size)), rate, rpm, bearing)
        piece = [samples[starts[0] :][:size]]
        together = named(piece, rate, rpm, bearing, before[key])
        faults = [names(piece, rate, rpm, bearing), [one.fault for one in together.faults]]
        for start in starts[1:]:
            together = named([samples[start:][:size]], rate, rpm, bearing, before[key], together.together)
        faults.append([one.fault for one in together.faults])
        for way, found in zip(ways, faults, strict=True):
            counted[name][way].update(found or ["not named"])
            if way != "alone" and found:
                print(f"{name}, {bearing.name}, {len(starts)} pieces from {start}, {way}: {found}", flush=True)
    for name, by_way in counted.items():
        print(f"healthy {name}: {'; '.join(f'{way} {dict(found)}' for way, found in by_way.items())}", flush=True)


def baseline(looks: Sequence[Float32], rate_hz: float, rpm: float, bearing: Bearing) -> Healthy:
    """What is known of a healthy machine after as many looks as the daemon takes."""
    lines, together = list[Lines](), None
    for one in looks[:HEALTHY_LOOKS]:
        found = named([one], rate_hz, rpm, bearing, before=together)
        together = found.together
        assert found.lines is not None
        lines.append(found.lines)
    assert together is not None
    return Healthy(lines=reduce(Lines.and_also, lines), segments=together.segments)


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
        name_at_alarm(machine, {kind: size for kind, (size, _) in found.items()}, counted)
        print(f"{machine.name}: {', '.join(NAMES[kind] for kind in found) or 'its healthy day alarms'}", flush=True)
    for fault, levels_db in at_db.items():
        print(f"{fault}: the alarm comes at {min(levels_db):.0f} to {max(levels_db):.0f} dB of the healthy signal")
    for above_db, looks in {(above_db, looks): None for _, above_db, looks in counted}:
        every: Counter[str] = sum((counted[fault, above_db, looks] for fault in at_db), Counter())
        each = ", ".join(f"{fault} {counted[fault, above_db, looks]['right']}" for fault in at_db)
        print(f"{above_db:g} dB above the alarm, after {looks} looks: {dict(every)}; right: {each}")


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
