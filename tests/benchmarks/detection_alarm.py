"""What a user gets: which faults raise an alarm within ten seconds, and what healthy machines score.

AUC says what a figure could see. An alarm comes only beyond a limit, so here every figure has one: from the same
healthy data, for one false alarm a month. Each way of calibrating learns the first halves of healthy recordings. The
second halves are scored, and faults are mixed into one of them at falling level.

A network must have seen none of it. The halves are not unseen data for one that was trained on these rigs, as the
reference was before it was made from synthetic signals only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.core.arrays import Float32, Floats
from monitor.core.forecasting.forecaster import Engine
from monitor.core.scoring.calibration.calibration import Calibration
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_figures import Channel

LEVELS_DB = (6, 3, 0, -3, -6, -8, -10, -12, -14, -16, -18)
WITHIN_S = 10.0
"""Time in which an alarm must come, and longest stream of which the share over 1 is taken."""

WARMUP_BLOCKS = 25
ODD_S = 1.6
"""Length of the fault in healthy data that are not quite healthy."""


@dataclass(frozen=True)
class Way:
    """One way of calibrating."""

    learned: dict[int, Float32]
    """Healthy samples of each condition."""
    told: bool = False
    """Whether the conditions are measured: told to the calibration, and of every interval that is scored."""


@dataclass(frozen=True)
class Rig:
    """One channel of a machine: what is learned of it in several ways, and what is scored."""

    quantity: str
    """Unit of what sets the conditions apart."""
    rate_hz: float
    """Sampling rate."""
    interval_blocks: int
    """Blocks in an interval."""
    ways: dict[str, Way]
    """Ways of calibrating, by name."""
    healthy: dict[int, Float32]
    """Other healthy samples, of each condition."""
    faults: dict[str, Float32]
    """Samples of each fault."""
    at: dict[str, int]
    """Condition of each fault, also of the base that it is mixed into."""
    base: Float32 | None = None
    """Healthy samples that the faults are mixed into; None: the faults are scored as they are only."""
    pieces: int = 1
    """Parts of each fault that are mixed in."""


def uestc() -> Rig:
    """A bearing rig at three speeds; the faults are at 1000 rpm."""
    parts = {speed: data.halves(data.uestc(f"healthy_{speed}rpm")) for speed in (800, 1000, 1200)}
    known = {speed: part[0] for speed, part in parts.items()}
    faults = {name.removesuffix("_1000rpm"): data.uestc(name) for name in data.UESTC_FAULTS}
    ends = {speed: known[speed] for speed in (800, 1200)}
    odd = with_fault(known[1000], faults["outer"][-int(ODD_S * 20000) :])
    return Rig(
        "rpm",
        20000.0,
        20,
        {
            "1000 rpm": Way({1000: known[1000]}),
            "800, 1000, 1200 rpm": Way(known),
            "800, 1000, 1200 rpm, speed given": Way(known, told=True),
            "800, 1200 rpm": Way(ends),
            "800, 1200 rpm, speed given": Way(ends, told=True),
            "800, 1000, 1200 rpm, 1.6 s of it the outer race's fault at 0 dB": Way({**known, 1000: odd}),
        },
        {speed: part[1] for speed, part in parts.items()},
        faults,
        dict.fromkeys(faults, 1000),
        parts[1000][1],
    )


def cwru(channel: str) -> Rig:
    """A bearing rig at one speed and load."""
    known, new = data.halves(data.cwru("Normal_0", channel))
    faults = {name: data.cwru(name, channel) for name in data.CWRU_FAULTS}
    return Rig("hp", 12000.0, 12, {"0 hp": Way({0: known})}, {0: new}, faults, dict.fromkeys(faults, 0), new, pieces=3)


def gearbox() -> dict[str, Rig]:
    """The four channels of a gearbox; three loads are learned, all are scored, two with a broken tooth."""
    loads = {load: data.gearbox("h", load) for load in (0, 20, 40, 50, 60, 80)}
    at = {f"broken, {load} %": load for load in (20, 50)}
    broken = {name: data.gearbox("b", load) for name, load in at.items()}
    rigs = {}
    for axis in range(4):
        known = {load: data.halves(loads[load][:, axis])[0] for load in (0, 40, 80)}
        healthy = {load: data.halves(one[:, axis])[1] if load in known else one[:, axis] for load, one in loads.items()}
        faults = {name: one[:, axis] for name, one in broken.items()}
        ways = {"0, 40, 80 % load": Way(known), "0, 40, 80 % load, load given": Way(known, told=True)}
        rigs[f"a{axis + 1}"] = Rig("% load", 10000.0, 10, ways, healthy, faults, at)
    return rigs


def with_fault(healthy: Float32, fault: Float32) -> Float32:
    """Healthy samples with a fault at 0 dB mixed into the middle."""
    first = (healthy.size - fault.size) // 2
    odd = healthy.copy()
    unit = (fault - fault.mean()) / fault.std()
    odd[first : first + fault.size] += healthy.std() * unit
    return odd


def lowest(levels: Sequence[int], raised: Sequence[bool]) -> int | None:
    """The lowest of falling levels down to which alarms are raised at every level; None if not at the first."""
    count = len(raised) if all(raised) else list(raised).index(False)
    return levels[count - 1] if count else None


def measure(
    engine: Engine, rig: Rig, levels: Sequence[int] = LEVELS_DB, learned: Mapping[str, Calibration] | None = None
) -> dict[str, dict[str, Any]]:
    """The figures of each way of calibrating; ``learned``: calibrations to take instead, by the names of the ways."""
    healthy = data.forecast_each(engine, list(rig.healthy.values()))
    unmixed = data.forecast_each(engine, list(rig.faults.values()))
    mixed = None
    if rig.base is not None:
        enough = (WARMUP_BLOCKS + rig.interval_blocks) * engine.block_samples + int(WITHIN_S * rig.rate_hz)
        every = [data.mixtures(rig.base[:enough], list(rig.faults.values()), level, rig.pieces) for level in levels]
        mixed = data.forecast(engine, np.concatenate(every), WARMUP_BLOCKS)
    at = [rig.at[fault] for fault in rig.faults]
    ways = {}
    for name, way in rig.ways.items():
        known = data.forecast_each(engine, list(way.learned.values()))
        channel = Channel(known, rig.rate_hz, rig.interval_blocks, list(way.learned) if way.told else None)
        channel.calibration = (learned or {}).get(name, channel.calibration)
        figures: dict[str, dict[str, Any]] = {}
        for figure, scores in channel.scores(healthy, list(rig.healthy) if way.told else None).items():
            largest = [float(max(phase.max() for phase in stream)) for stream in scores]
            figures[figure] = {"healthy_largest": dict(zip(rig.healthy, largest, strict=True))}
        for figure, scores in channel.scores(unmixed, at if way.told else None).items():
            medians = [float(np.median(np.concatenate(stream))) for stream in scores]
            figures[figure]["unmixed_median"] = dict(zip(rig.faults, medians, strict=True))
        if mixed is not None:
            most = round(WITHIN_S / channel.calibration.interval_s)
            each = len(levels) * [value for value in at for _ in range(rig.pieces)]
            for figure, scores in channel.scores(mixed, each if way.told else None).items():
                figures[figure] |= by_level(scores, list(rig.faults), levels, rig.pieces, most)
        ways[name] = {
            "learned": list(way.learned),
            "quantity": rig.quantity,
            "intervals": channel.calibration.intervals,
            "prototypes": len(channel.calibration.prototypes),
            "aside_intervals": channel.calibration.aside_intervals,
            "figures": figures,
        }
    return ways


def by_level(
    scores: list[list[Floats]], faults: list[str], levels: Sequence[int], pieces: int, most: int
) -> dict[str, Any]:
    """Alarms and the share of intervals over 1, from the scores of every phase of (levels * faults * pieces) streams.

    Only the first ``most`` intervals of a stream count. A fault raises an alarm if each of its streams does, from
    wherever the intervals are counted.
    """
    shape = len(levels), len(faults), pieces
    over = [[phase[:most] >= 1.0 for phase in stream] for stream in scores]
    every = [all(phase.any() for phase in stream) for stream in over]
    raised = np.array(every, np.bool_).reshape(shape).min(axis=2)
    share = np.array([np.mean(np.concatenate(stream)) for stream in over]).reshape(shape).mean(axis=2)
    return {
        "alarm_db": lowest(levels, raised.min(axis=1).tolist()),
        "alarm_db_by_fault": {fault: lowest(levels, raised[:, f].tolist()) for f, fault in enumerate(faults)},
        "over": dict(zip(levels, share.mean(axis=1).tolist(), strict=True)),
        "over_by_fault": {
            fault: dict(zip(levels, share[:, f].tolist(), strict=True)) for f, fault in enumerate(faults)
        },
    }


def run_uestc(engine: Engine) -> dict[str, Any]:
    return {"ways": measure(engine, uestc())}


def run_cwru(engine: Engine, channel: str) -> dict[str, Any]:
    return {"ways": measure(engine, cwru(channel))}


def run_gearbox(engine: Engine) -> dict[str, Any]:
    """All four channels; the rate is not stated, 10 kHz is taken."""
    found = {axis: measure(engine, rig) for axis, rig in gearbox().items()}
    return {"ways": {f"{axis}, {way}": one for axis, ways in found.items() for way, one in ways.items()}}


def show_ways(ways: dict[str, dict[str, Any]]) -> None:
    """Print the table of each way of calibrating; unmixed is the median of the fault that scores least."""
    for way, found in ways.items():
        print(
            f"  learned: {way} ({found['intervals']:.0f} intervals, {found['prototypes']} prototypes, "
            f"{found['aside_intervals']:.0f} intervals set aside)"
        )
        figures = found["figures"]
        levels = list(next(iter(figures.values())).get("over", {}))
        heads = f"all alarm at   over 1 at {''.join(f'{level:5}' for level in levels)} dB   " if levels else ""
        print(f"    {'':16}{heads}unmixed   healthy: learned, others")
        for name, one in figures.items():
            cells = ""
            if levels:
                at = "never" if one["alarm_db"] is None else f"{one['alarm_db']} dB"
                cells = f"{at:>12}{'':13}{''.join(f'{share:5.2f}' for share in one['over'].values())}      "
            there, others = split(one["healthy_largest"], found["learned"])
            rest = "" if others is None else f"{others:8.2f}"
            print(f"    {name:16}{cells}{min(one['unmixed_median'].values()):7.2f}{there:19.2f}{rest}")
        score = figures["score"]
        for fault in score["unmixed_median"]:
            print(f"      {of_fault(score, fault)}")
        for condition, largest in score["healthy_largest"].items():
            new = "" if condition in found["learned"] else ", not learned"
            print(f"      healthy {condition} {found['quantity']}{new}: score at most {largest:.2f}")


def split(largest: dict[int, float], learned: list[int]) -> tuple[float, float | None]:
    """The largest at learned conditions, and at others if there are any."""
    others = [value for condition, value in largest.items() if condition not in learned]
    return max(largest[condition] for condition in learned), max(others, default=None)


def of_fault(score: dict[str, Any], fault: str) -> str:
    """What the score says of one fault, as a text."""
    unmixed = f"{fault}: score {score['unmixed_median'][fault]:.2f} unmixed"
    if "over" not in score:
        return unmixed
    at, over = score["alarm_db_by_fault"][fault], score["over_by_fault"][fault]
    shares = ", ".join(f"{over[level]:.2f} at {level} dB" for level in (0, -6) if level in over)
    return f"{unmixed}, alarm at {'no level' if at is None else f'{at} dB'}, intervals over 1 {shares}"
