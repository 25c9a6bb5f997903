"""What the forecast is worth at the alarm, and what a bad one costs: three ways to use it, and two networks.

The ways are a head that may not use the network, one that may use it with one gain, and the product's. The networks are
the given one, one with random weights, which knows nothing, and for simulated machines the demo's, which knows such
machines. Faults of the rig, or impulses that ring, are mixed into
held-out healthy data at falling level. The figure is the level at which half of the intervals score over 1; the level
at which the mean ROC AUC of single intervals falls to 0.95 comes second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.forecaster import Engine
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import CANDIDATES, NO_NETWORK, Candidate
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.engines.engines import load_engine
from monitor.model.engines.onnx_engine import OnnxEngine
from monitor.model.network import Shape
from monitor.simulation.machine import catalogue, measuring_point
from monitor.simulation.simulator import Simulation
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_figures import Series, auc, own_series, phases, raw_series

WAYS = {"none": (NO_NETWORK,), "gain": (NO_NETWORK, Candidate(0)), "head": CANDIDATES}
"""Ways to use the network among which the healthy data of a channel choose."""

LEVELS_DB = tuple(range(0, -43, -2))
RATE_HZ = 12000.0
SIMULATED_S = 20
RING_SAMPLES = 12
"""Time constant of the impulses' ringing, at a third of the sampling rate."""

REPETITION_SAMPLES = 57


@dataclass(frozen=True)
class Rig:
    """One channel, and the faults that are mixed into it."""

    healthy: Float32
    """(n,) healthy samples."""
    faults: list[Float32]
    """Signals that are added, at any gain."""
    rate_hz: float
    """Sampling rate."""
    interval_blocks: int
    """Blocks in an interval."""
    pieces: int = 1
    """Parts of each fault that are mixed in."""


def impulses(samples: int) -> Float32:
    """Impulses at equal distances, each of which rings."""
    strokes = np.zeros(samples)
    strokes[::REPETITION_SAMPLES] = 1.0
    angle, decay = 2 * np.pi / 3, np.exp(-1.0 / RING_SAMPLES)
    ringing: Float32 = lfilter([1.0], [1.0, -2 * decay * np.cos(angle), decay**2], strokes).astype(np.float32)
    return ringing


def simulated(machine: str) -> Rig:
    """The drive end of a simulated machine."""
    simulation = Simulation(measuring_point(catalogue()[machine], 0), RATE_HZ, seed=77)
    healthy = np.asarray(simulation.next(int(SIMULATED_S * RATE_HZ)), np.float32)
    return Rig(healthy, [impulses(healthy.size)], RATE_HZ, 12)


def cwru(channel: str) -> Rig:
    """The bearing rig of CWRU."""
    faults = [data.cwru(name, channel) for name in data.CWRU_FAULTS]
    return Rig(data.cwru("Normal_0", channel), faults, 12000.0, 12, 3)


def gearbox(axis: int) -> Rig:
    """One axis of the gearbox."""
    healthy = data.gearbox("h")[:, axis]
    return Rig(healthy, [impulses(healthy.size)], 10000.0, 10)


RIGS: dict[str, Callable[[], Rig]] = {
    "CWRU drive end": lambda: cwru("DE"),
    "CWRU fan end": lambda: cwru("FE"),
    "UESTC": lambda: Rig(
        data.uestc("healthy_1000rpm"), [data.uestc(name) for name in data.UESTC_FAULTS], 20000.0, 20
    ),
    "gearbox a1": lambda: gearbox(0),
    "gearbox a4": lambda: gearbox(3),
    **{f"simulated {name}": (lambda name=name: simulated(name))  # type: ignore[misc]
       for name in ("fan", "gearbox", "pump")},
}  # fmt: skip
"""The channels of the comparison."""


def random_network(seed: int = 3) -> Engine:
    """A network of the usual shape that was never trained."""
    rng, shape = np.random.default_rng(seed), Shape()
    weights = [
        (rng.normal(size=size) / (size[0] ** 0.5 if len(size) > 1 else 3.0)).astype(np.float32)
        for size in shape.weight_shapes
    ]
    return OnnxEngine(shape, onnx_bytes(shape, weights))


def reached(levels_db: tuple[int, ...], values: list[float], wanted: float) -> float | None:
    """The level at which falling ``values`` pass ``wanted``, interpolated; None if the first is below it."""
    for i in range(len(levels_db) - 1):
        if values[i] >= wanted > values[i + 1]:
            share = (values[i] - wanted) / (values[i] - values[i + 1])
            return levels_db[i] + (levels_db[i + 1] - levels_db[i]) * share
    return float(levels_db[-1]) if values[-1] >= wanted else None


class _Channel:
    """One calibrated channel: the score of any streams."""

    def __init__(self, rig: Rig, known: data.Streams, candidates: tuple[Candidate, ...]) -> None:
        self.calibration: Calibration = calibrate(
            known.contexts,
            interval_blocks=rig.interval_blocks,
            warmup_blocks=25,
            sampling_rate_hz=rig.rate_hz,
            candidates=candidates,
        )
        self.starts = phases(rig.interval_blocks)

    def scores(self, streams: data.Streams) -> list[Series]:
        """The series of every stream and phase."""
        return [
            own_series(self.calibration, raw, 1.0)["score"]
            for raw in raw_series(self.calibration, streams, self.starts)
        ]


def _together(series: list[Series], which: str) -> Float64:
    return np.concatenate([getattr(one, which) for one in series]).astype(np.float64)


def compare_ways(engine: Engine, rig: Rig) -> dict[str, dict[str, Any]]:
    """For each way the level found, the AUC level, the largest healthy score, and what is foreseen."""
    known, new = data.healthy_parts(rig.healthy)
    learned, healthy = data.forecast(engine, known[None]), data.forecast(engine, new[None])
    channels = {way: _Channel(rig, learned, candidates) for way, candidates in WAYS.items()}
    normal = {way: channel.scores(healthy) for way, channel in channels.items()}
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    ranked: dict[str, list[float]] = {way: [] for way in WAYS}
    for level in LEVELS_DB:
        mixed = data.forecast(engine, data.mixtures(new, rig.faults, level, rig.pieces))
        for way, channel in channels.items():
            series = channel.scores(mixed)
            limit = series[0].limit
            found[way].append(float(np.mean(_together(series, "smoothed") > limit)))
            ranked[way].append(auc(_together(normal[way], "alone"), _together(series, "alone")))
    return {
        way: {
            "found_db": reached(LEVELS_DB, found[way], 0.5),
            "auc_db": reached(LEVELS_DB, ranked[way], 0.95),
            "healthy_max": float(_together(normal[way], "smoothed").max() / normal[way][0].limit),
            "trust": channel.calibration.trust,
            "uses_network": channel.calibration.head.uses_network,
        }
        for way, channel in channels.items()
    }


def ablation(engine: Engine) -> dict[str, Any]:
    """All rigs with the given network and with the random one."""
    networks = {"given": engine, "random": random_network()}
    demo = load_engine(load_artefact(data.ROOT / "models" / "demo"), "onnxruntime")
    rows = []
    for name, rig in RIGS.items():
        made = rig()
        more = {"demo's": demo} if name.startswith("simulated") else {}
        for network, of in {**networks, **more}.items():
            rows.append({"rig": name, "network": network, "ways": compare_ways(of, made)})
    return {"ablation": rows}


def show_ablation(rows: list[dict[str, Any]]) -> None:
    """Print the table."""

    def shown(value: float | None) -> str:
        return " none" if value is None else f"{value:5.1f}"

    print(f"    {'rig, network':30} half of the intervals over 1 at, dB; AUC 0.95 at, dB; largest healthy score; trust")
    for row in rows:
        cells = [
            f"{way} {shown(one['found_db'])}, {shown(one['auc_db'])}, {one['healthy_max']:.2f}, {one['trust']:.2f}"
            f"{' *' if one['uses_network'] else '  '}"
            for way, one in row["ways"].items()
        ]
        print(f"    {row['rig'] + ', ' + row['network']:30} {' | '.join(cells)}")
    print("    * the head uses the network")
