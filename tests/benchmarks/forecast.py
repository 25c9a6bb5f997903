"""How well a model forecasts healthy machines that it was not trained on.

    python tests/benchmarks/forecast.py [--json] [--model DIR] [--previous DIR] [--part NAME ...] [--skip-seen]

The gap ratio is residual energy over signal energy: 0 is perfect, 1 is no better than no forecast. Every forecaster
gets the same blocks at the same running level, with carried state, and is judged on the second half of a recording. AR
models, heads and own networks are fitted to the first half of that same recording; the model under test has not seen
it. A model that was trained on a recording of the benchmark is refused.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.forecasting.level import TIME_CONSTANT_BLOCKS
from monitor.core.learning.head_fit import Stretch, fit_head
from monitor.core.recompute import recompute
from monitor.errors import MonitorError
from monitor.model.artefact.artefact import Artefact, load_artefact
from monitor.model.engines.engines import load_engine
from monitor.model.training.report import compare, linear_forecaster
from monitor.shipped import model_directory
from tests.benchmarks import forecast_data as data
from tests.benchmarks.forecast_machines import Simulated, random_machines, random_vibration

BLOCK_SAMPLES = 100
WARMUP_BLOCKS = 25
LARGER_BLOCKS = 4
"""Order of the larger AR model, in blocks."""

BETTER = 0.99
"""Ratio to AR(100) below which a forecaster counts as better. Higher: a head that is the same model wins by chance."""

MOST_ROWS = 50
"""Most rows that are printed; --json gives all."""

OWN = ("[a1]", "[0]", "#X097_DE_time", ".npz")
"""Ends of the names of the channels for which own models are trained: one channel a file, so that it takes minutes."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is judged."""

    model: Artefact
    """The model."""
    previous: Artefact | None
    """Another model to compare with, for example the reference before it."""
    skip_seen: bool
    """Whether files that one of the models was trained on are left out; otherwise they are an error."""

    @property
    def models(self) -> dict[str, Artefact]:
        """All models by the title of their column."""
        return {"model": self.model} | ({"previous": self.previous} if self.previous else {})

    def machines(self) -> list[data.Healthy]:
        """The real machines, without those that the model was trained on.

        Raises:
            ArtefactError: a model was trained on some, and they are not to be left out.
        """
        if not self.skip_seen:
            for model in self.models.values():
                data.require_unseen(model)
        skipped = data.trained_on(self.model)
        return [machine for rig in data.RIGS for machine in data.machines(rig, skipped)]

    def engines(self, sha256: str = "") -> dict[str, Engine]:
        """An engine for each model that was not trained on the file with this SHA-256."""
        return {
            title: load_engine(model, "onnxruntime")
            for title, model in self.models.items()
            if sha256 not in data.trained_on(model)
        }


def gap_ratios(engines: dict[str, Engine], first: list[Float32], last: list[Float32]) -> dict[str, float]:
    """Gap ratios on the records ``last`` by forecaster.

    Networks by themselves and with a head fitted to the records ``first``, and AR models fitted to these.
    """
    linear = {
        f"AR({blocks * BLOCK_SAMPLES})": linear_forecaster([first], BLOCK_SAMPLES, TIME_CONSTANT_BLOCKS, blocks)
        for blocks in (1, LARGER_BLOCKS)
    }
    found: dict[str, float] = {}
    for name, engine in engines.items():
        ratios = compare(engine, last, linear, TIME_CONSTANT_BLOCKS, WARMUP_BLOCKS).ratios
        found[name] = ratios["network"].overall
        found[f"{name} + head"] = gap_ratio_with_head(engine, first, last)
        found |= {title: ratios[title].overall for title in linear}
    return found


def gap_ratio_with_head(engine: Engine, first: list[Float32], last: list[Float32]) -> float:
    """Gap ratio on the records ``last`` of a network with the head that ``calibrate`` would fit to ``first``."""
    head = fit_head(stretches(engine, first)).head
    residual = energy = 0.0
    for each in stretches(engine, last):
        expected = head.forecast(each.blocks_before(slice(None)), each.forecast)
        residual += float(np.sum((each.signal - expected) ** 2))
        energy += float(np.sum(each.signal.astype(np.float64) ** 2))
    return residual / energy


def stretches(engine: Engine, records: list[Float32]) -> list[Stretch]:
    """The blocks that :func:`compare` compares, with their forecasts."""
    found = []
    for record in records:
        blocks = record[: record.size // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES)
        if len(blocks) < 2:
            continue
        made = recompute(CarriedForecaster(engine, 1), blocks, TIME_CONSTANT_BLOCKS)
        begin = min(WARMUP_BLOCKS, len(blocks) // 2)
        forecast = made.units[begin:] * made.level.rms[begin - 1 : -1, None]
        found.append(Stretch(made.signal[begin - 1], made.signal[begin:], forecast))
    return found


def real(asked: Asked) -> list[Row]:
    """Real machines, one row a channel."""
    return [
        {"rig": each.rig, "name": each.name, **gap_ratios(asked.engines(each.sha256), each.first, each.last)}
        for each in asked.machines()
    ]


def machines(asked: Asked) -> list[Row]:
    """Simulated machines with random parts, one row each."""
    return simulated(asked, random_machines())


def vibration(asked: Asked) -> list[Row]:
    """Random vibration of the kind that universal models are trained on, one row a signal."""
    return simulated(asked, random_vibration())


def simulated(asked: Asked, found: list[Simulated]) -> list[Row]:
    """One row for each simulated machine."""
    running = asked.engines()
    return [{"name": each.name, **gap_ratios(running, each.first, each.last)} for each in found]


def own(asked: Asked) -> list[Row]:
    """Networks trained on the first half of a real machine: from scratch, and continued from the model."""
    from monitor.model.training.training import CONTINUED, Recipe

    chosen = [each for each in asked.machines() if each.name.endswith(OWN)]
    rows = []
    for each in chosen:
        row: Row = {"rig": each.rig, "name": each.name}
        running = asked.engines(each.sha256)
        for title, recipe, start in (("scratch", Recipe(), None), ("continued", CONTINUED, asked.model)):
            running[title], row[f"{title}_s"] = trained([each.first], recipe, start)
        rows.append(row | gap_ratios(running, each.first, each.last))
    every = [each.first for each in chosen]
    plant: Row = {}
    for title, recipe, start in (("scratch", Recipe(), None), ("continued", CONTINUED, asked.model)):
        plant[title], _ = trained(every, recipe, start)
    for each, row in zip(chosen, rows, strict=True):
        found = gap_ratios(plant, each.first, each.last)
        row |= {f"{title}, all": found[title] for title in plant}
    return rows


def trained(recordings: list[list[Float32]], recipe: Any, start: Artefact | None) -> tuple[Engine, float]:
    """An engine of a network that is trained on recordings, and the seconds that it took."""
    from monitor.model.artefact.onnx_graph import onnx_bytes
    from monitor.model.engines.onnx_engine import OnnxEngine
    from monitor.model.network import Shape
    from monitor.model.training.training import train

    # A burst holds 25 blocks, a window of 25 needs 27; the weights do not depend on the window's length.
    shortest = min(max(record.size for record in records) for records in recordings)
    shape = Shape(window_blocks=min(25, shortest // BLOCK_SAMPLES - 2))
    done = train(recordings, shape, recipe, TIME_CONSTANT_BLOCKS, lambda _: None, start.weights() if start else None)
    return OnnxEngine(shape, onnx_bytes(shape, done.weights)), done.seconds


PARTS: dict[str, Callable[[Asked], list[Row]]] = {
    "real": real,
    "own": own,
    "machines": machines,
    "vibration": vibration,
}


def titles(rows: Sequence[Row]) -> list[str]:
    """The columns with numbers, in order; a model that was trained on the first machine has none there."""
    return list(dict.fromkeys(title for row in rows for title, value in row.items() if isinstance(value, float)))


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """What the rows say of each forecaster: its largest gap ratio, and its ratio to an AR(100) of the machine's own."""
    found: dict[str, Any] = {"machines": len(rows)}
    for title in titles(rows):
        if title.endswith("_s"):
            continue
        values, own = (np.array([row[key] for row in rows if title in row]) for key in (title, "AR(100)"))
        found[title] = {
            "judged": len(values),
            "largest": round(float(values.max()), 4),
            "above_1": int((values > 1.0).sum()),
            "over_ar_quartiles": [round(float(value), 3) for value in np.quantile(values / own, [0.25, 0.5, 0.75])],
            "better_than_ar": round(float((values < BETTER * own).mean()), 3),
        }
    return found


def show(name: str, rows: Sequence[Row]) -> None:
    """Print one part: a table of its rows (of many rows those that are worst against AR(100)), and the summary."""
    print(f"\n{name:40} " + " ".join(f"{title:>15}" for title in titles(rows)))
    worst = sorted(rows, key=lambda row: row["model"] / row["AR(100)"], reverse=True)[:MOST_ROWS]
    for row in rows if len(rows) <= MOST_ROWS else worst:
        label = f"{row.get('rig', '')} {row['name']}".strip()
        print(f"  {label:38} " + " ".join(f"{cell(row, title):>15}" for title in titles(rows)))
    print(f"  {'':20} {'judged':>8} {'largest':>8} {'above 1':>8} {'over AR(100)':>20} {'better than AR(100)':>20}")
    for title, told in summary(rows).items():
        if title != "machines":
            quarters = " / ".join(f"{value:.2f}" for value in told["over_ar_quartiles"])
            print(
                f"  {title:20} {told['judged']:8} {told['largest']:8.3f} {told['above_1']:8} {quarters:>20} "
                f"{told['better_than_ar'] * 100:18.0f} %"
            )


def cell(row: Row, title: str) -> str:
    """One number of a row as text."""
    if title not in row:
        return "seen"
    return f"{row[title]:.0f} s" if title.endswith("_s") else f"{row[title]:.3f}"


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--model", type=model_directory, default="reference", help="directory or shipped name")
    parser.add_argument("--previous", type=model_directory, help="another model to compare with")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--skip-seen", action="store_true", help="leave out recordings that a model was trained on")
    given = parser.parse_args()
    results: dict[str, Any] = {}
    try:
        previous = load_artefact(given.previous) if given.previous else None
        asked = Asked(load_artefact(given.model), previous, given.skip_seen)
        for name in given.part or PARTS:
            began_s = time.monotonic()
            rows = PARTS[name](asked)
            results[name] = {"rows": rows, "summary": summary(rows)}
            if not given.json:
                show(name, rows)
                print(f"  ({time.monotonic() - began_s:.0f} s)", flush=True)
    except MonitorError as error:
        print(f"forecast.py: {error}", file=sys.stderr)
        return error.exit_code
    if given.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
