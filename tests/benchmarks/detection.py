"""How early faults are seen: the product's score against classical figures, on real recordings.

    python tests/benchmarks/detection.py [--json] [--model DIR] [--part NAME ...]

Every figure gets the same healthy data, smoothing and limit rule. The parts "alarm" tell what a user gets: alarms at
the limit (detection_alarm.py, detection_alarm_femto.py). The parts "budget" count false alarms. In the others, AUC
tells what could be seen: of intervals by themselves, and smoothed. No point adjustment; healthy parts for training,
calibration and scoring follow one another in time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.forecaster import Engine
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from tests.benchmarks import detection_alarm
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_alarm import show_ways
from tests.benchmarks.detection_alarm_femto import run_femto, show_life
from tests.benchmarks.detection_budget import budget, wandering_budget
from tests.benchmarks.detection_figures import Channel, Figures, auc
from tests.benchmarks.detection_forecast import ablation, show_ablation

LEVELS_DB = (-6, -8, -10, -12, -14, -16, -18, -20, -22)


def collected(figures: Figures, name: str, which: str, streams: slice = slice(None), per_stream: int = 4) -> Float64:
    """All values of a figure of some streams."""
    series = figures[name]
    chosen = [one for i in range(len(series) // per_stream)[streams] for one in series[i * per_stream :][:per_stream]]
    return np.concatenate([getattr(one, which) for one in chosen])


def compare(healthy: Figures, faulty: Figures, faults: int) -> dict[str, dict[str, float]]:
    """Mean and worst AUC over the faults, alone and smoothed, and the share of intervals above 1 % false alarms."""
    table: dict[str, dict[str, float]] = {}
    per = len(faulty["score"]) // faults
    for name in faulty:
        row: dict[str, float] = {}
        for which in ("alone", "smoothed"):
            normal = collected(healthy, name, which)
            bad = [collected(faulty, name, which, slice(f, f + 1), per) for f in range(faults)]
            every = [auc(normal, one) for one in bad]
            row[f"{which}_mean"], row[f"{which}_worst"] = float(np.mean(every)), float(np.min(every))
            limit = np.quantile(normal, 0.99)
            row[f"{which}_found"] = float(np.mean([np.mean(one > limit) for one in bad]))
        table[name] = row
    return table


def reach(levels: tuple[int, ...], means: list[float], wanted: float = 0.95) -> float | None:
    """The level at which the mean AUC falls to ``wanted``, interpolated; None if it never is as high."""
    for i in range(len(levels) - 1):
        if means[i] >= wanted > means[i + 1]:
            return levels[i] + (levels[i + 1] - levels[i]) * (means[i] - wanted) / (means[i] - means[i + 1])
    return float(levels[-1]) if means[-1] >= wanted else None


def mixed(
    engine: Engine, healthy: Float32, faults: list[Float32], rate: float, blocks: int, pieces: int
) -> dict[str, Any]:
    """Mixtures at all levels, and the faults unmixed."""
    known, new = data.healthy_parts(healthy)
    channel = Channel(data.forecast(engine, known[None]), rate, blocks)
    normal = channel.figures(data.forecast(engine, new[None]))
    by_level = {}
    for level in LEVELS_DB:
        seen = data.forecast(engine, data.mixtures(new, faults, level, pieces))
        by_level[level] = compare(normal, channel.figures(seen), len(faults))
    names = list(next(iter(by_level.values())))
    shortest = min(len(samples) for samples in faults)
    whole = data.forecast(engine, np.stack([samples[:shortest] for samples in faults]))
    unmixed = compare(normal, channel.figures(whole), len(faults))
    out: dict[str, Any] = {
        "calibration_intervals": channel.calibration.intervals,
        "levels": by_level,
        "unmixed": unmixed,
    }
    for which in ("alone", "smoothed"):
        out[f"reach_db_{which}"] = {
            name: reach(LEVELS_DB, [by_level[level][name][f"{which}_mean"] for level in LEVELS_DB]) for name in names
        }
    return out


def run_cwru(engine: Engine, channel: str) -> dict[str, Any]:
    faults = [data.cwru(name, channel) for name in data.CWRU_FAULTS]
    return mixed(engine, data.cwru("Normal_0", channel), faults, 12000.0, 12, 3)


def run_uestc(engine: Engine, blocks: int) -> dict[str, Any]:
    """Mixtures, and what a change of speed or gain alone does."""
    healthy = data.uestc("healthy_1000rpm")
    result = mixed(engine, healthy, [data.uestc(name) for name in data.UESTC_FAULTS], 20000.0, blocks, 1)
    known, new = data.healthy_parts(healthy)
    channel = Channel(data.forecast(engine, known[None]), 20000.0, blocks)
    normal = channel.figures(data.forecast(engine, new[None]))
    changes: dict[str, Float32] = {
        "1200 rpm": data.uestc("healthy_1200rpm"),
        "gain x 3": new * np.float32(3),
        "gain / 3": new / np.float32(3),
    }
    result["changes"] = {
        name: compare(normal, channel.figures(data.forecast(engine, one[None])), 1) for name, one in changes.items()
    }
    return result


def run_gearbox(engine: Engine) -> dict[str, Any]:
    """Healthy against a broken tooth, each channel by itself; the rate is not stated, 10 kHz is taken."""
    healthy, broken = data.gearbox("h"), data.gearbox("b")
    result: dict[str, Any] = {}
    for axis in range(4):
        known, new = data.healthy_parts(healthy[:, axis])
        channel = Channel(data.forecast(engine, known[None]), 10000.0, 10)
        normal, faulty = (channel.figures(data.forecast(engine, one[None])) for one in (new, broken[:, axis]))
        result[f"a{axis + 1}"] = compare(normal, faulty, 1)
    return result


PARTS: dict[str, Callable[[Engine], dict[str, Any]]] = {
    "alarm uestc": detection_alarm.run_uestc,
    "alarm cwru drive end": lambda engine: detection_alarm.run_cwru(engine, "DE"),
    "alarm cwru fan end": lambda engine: detection_alarm.run_cwru(engine, "FE"),
    "alarm gearbox": detection_alarm.run_gearbox,
    **{f"alarm femto {bearing}": (lambda engine, bearing=bearing: run_femto(engine, bearing))  # type: ignore[misc]
       for bearing in data.FEMTO_BEARINGS},
    "budget, one condition": budget,
    "budget, wandering": wandering_budget,
    "cwru drive end, 0.1 s": lambda engine: run_cwru(engine, "DE"),
    "cwru fan end, 0.1 s": lambda engine: run_cwru(engine, "FE"),
    "uestc, 0.1 s": lambda engine: run_uestc(engine, 20),
    "uestc, 1 s": lambda engine: run_uestc(engine, 200),
    "gearbox, 0.1 s": run_gearbox,
    "use of the forecast": ablation,
}  # fmt: skip


def show(name: str, result: dict[str, Any]) -> None:
    """Print one part of the table."""
    print(f"\n{name}")
    if "levels" in result:
        wanted = [level for level in (-6, -10, -14, -18) if level in result["levels"]]
        heads = " ".join(f"{f'{level} dB':>13}" for level in [*wanted, "unmixed"])
        for which in ("alone", "smoothed"):
            print(f"  {which + ': mean / worst AUC':30} 0.95 at {heads}   found at 1 % false, -14 dB")
            for figure, at in result[f"reach_db_{which}"].items():
                tables = [result["levels"][level] for level in wanted] + [result["unmixed"]]
                cells = [f"{t[figure][f'{which}_mean']:.3f} / {t[figure][f'{which}_worst']:.3f}" for t in tables]
                found = result["levels"][-14][figure][f"{which}_found"]
                place = "   never" if at is None else f"{at:8.1f}"
                print(f"    {figure:28}{place} {' '.join(f'{cell:>13}' for cell in cells)}   {found:.2f}")
    for part, table in (result.get("changes") or (result if "a1" in result else {})).items():
        cells = [f"{figure} {row['alone_mean']:.3f} {row['smoothed_mean']:.3f}" for figure, row in table.items()]
        print(f"  {part}: AUC alone, smoothed: {', '.join(cells)}")
    if "ways" in result:
        show_ways(result["ways"])
    if "life" in result:
        show_life(result["life"])
    if "ablation" in result:
        show_ablation(result["ablation"])
    if "budgets" in result:
        for row in result["budgets"]:
            print("    " + ", ".join(f"{key} {value}" for key, value in row.items()))


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--model", type=Path, default=data.ROOT / "models" / "reference", help="model directory")
    parser.add_argument("--part", action="append", help=f"only parts whose name begins so; of {', '.join(PARTS)}")
    asked = parser.parse_args()
    engine = load_engine(load_artefact(asked.model), "onnxruntime")
    results: dict[str, Any] = {}
    for name, part in PARTS.items():
        if asked.part and not any(name.startswith(wanted) for wanted in asked.part):
            continue
        began_s = time.monotonic()
        results[name] = part(engine)
        if not asked.json:
            show(name, results[name])
            print(f"  ({time.monotonic() - began_s:.0f} s)", flush=True)
    if asked.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
