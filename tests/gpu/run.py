"""On a machine with a GPU: do the GPU engines agree with the CPU engine there, and how much faster are they?

One call does everything: ``python tests/gpu/run.py``. It loads the shipped model as the daemon does, on TensorFlow and
on JAX as far as they are installed. It compares each with the CPU engine in both modes, and measures carried steps from
blocks in host memory to forecasts in host memory, which is the path that users get; the CPU engine on one core. Without
a GPU it says so and ends with 1, unless ``--allow-cpu`` is given.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from monitor.core.arrays import Float32  # noqa: E402 - the path comes first
from monitor.core.forecasting.forecaster import Engine  # noqa: E402 - the path comes first
from monitor.extras import installed  # noqa: E402
from monitor.model.artefact.artefact import load_artefact  # noqa: E402
from monitor.model.engines.engines import load_engine  # noqa: E402

TARGET_CHANNELS = 100_000
TARGET_RATE_HZ = 12_800
PARITY = 1e-5
"""Largest RMS difference of the engines, relative to the forecasts' RMS. Single channels differ more in carried mode:
a rounding error lives on in the state and grows for a while where the network is sensitive."""


def main() -> int:
    """Run everything; 0 if the engines agree."""
    arguments = parse_arguments()
    artefact = load_artefact(arguments.model)
    engines: dict[str, Engine] = {}
    for name in arguments.engines:
        if not installed(name):
            print(f"{name}: is not installed")
            continue
        began_s = time.perf_counter()
        engine = load_engine(artefact, name)
        print(f"{name}: ready in {time.perf_counter() - began_s:.1f} s on {engine.device}")
        if engine.device != "cpu" or arguments.allow_cpu:
            engines[name] = engine
    if not engines:
        print(
            "no GPU is visible to an engine; install 'vibration-monitor[cuda]' or [jax] on a machine with one, or give "
            "--allow-cpu to run the same on the CPU",
            file=sys.stderr,
        )
        return 1
    cpu = load_engine(artefact, "onnxruntime")
    differences = {name: parity(cpu, engine) for name, engine in engines.items()}
    for name, modes in differences.items():
        for mode, found in modes.items():
            print(f"{name}, {mode}: differs by {found['rms']:.1e} RMS, {found['largest']:.1e} at most, relative")
    results = []
    for channels in arguments.channels:
        row = {
            "channels": channels,
            "onnxruntime": measure(cpu, channels, arguments.seconds),
            **{name: measure(engine, channels, arguments.seconds) for name, engine in engines.items()},
        }
        results.append(row)
        print_row(row)
    document = {
        "devices": {name: engine.device for name, engine in engines.items()},
        "cpu": processor(),
        "cpu_cores": len(os.sched_getaffinity(0)),
        "versions": {name: version(name) for name in engines if installed(name)},
        "driver": driver(),
        "model_sha256": artefact.sha256,
        "parity": {**differences, "rms_at_most": PARITY},
        "results": results,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document))
    needed = TARGET_CHANNELS * TARGET_RATE_HZ / cpu.block_samples
    for name in engines:
        best = max(row[name]["blocks_per_s"] for row in results)
        print(
            f"{TARGET_CHANNELS:,} channels at {TARGET_RATE_HZ:,} Hz need {needed:,.0f} blocks/s; best of {name} here "
            f"{best:,.0f} ({best / needed:.2f} times)"
        )
    return 0 if max(found["rms"] for modes in differences.values() for found in modes.values()) <= PARITY else 1


def version(engine: str) -> str:
    """The version of an engine's library."""
    return str(importlib.import_module(engine).__version__)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "reference")
    parser.add_argument("--engines", nargs="+", choices=["tensorflow", "jax"], default=["tensorflow", "jax"])
    parser.add_argument("--allow-cpu", action="store_true", help="run without a GPU too")
    parser.add_argument("--channels", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    return parser.parse_args()


def parity(cpu: Engine, gpu: Engine, channels: int = 500, steps: int = 100) -> dict[str, dict[str, float]]:
    """Relative differences of the engines: carried over many steps with resets, and windowed."""
    rng = np.random.default_rng(0)
    states = cpu.new_state(channels), gpu.new_state(channels)
    size = cpu.block_samples
    # Each channel is a tone in noise at unit level, as a machine is; on pure noise rounding differences grow.
    tone = rng.uniform(0.05, 2.5, channels)
    clock = np.zeros(channels)
    pairs = []
    for number in range(steps):
        # Some channels of each step, in any order, as in the daemon.
        rows = rng.permutation(channels)[: rng.integers(1, channels + 1)]
        phase = tone[rows, None] * (clock[rows, None] + np.arange(size))
        blocks = (1.3 * np.sin(phase) + rng.normal(0.0, 0.4, phase.shape)).astype(np.float32)
        clock[rows] += size
        if number % 20 == 19:
            for state in states:
                state.reset(rows[:5])
        pairs.append([engine.step(blocks, state, rows) for engine, state in zip((cpu, gpu), states, strict=True)])
    windows = rng.normal(size=(300, cpu.window_blocks, cpu.block_samples)).astype(np.float32)
    expected, found = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return {
        "carried": difference(expected, found),
        "windowed": difference(cpu.forecast_windows(windows), gpu.forecast_windows(windows)),
    }


def difference(expected: Float32, found: Float32) -> dict[str, float]:
    """RMS and largest difference, relative to the RMS and the largest value of what is expected."""
    apart = (found - expected).astype(np.float64)
    return {
        "rms": float(np.sqrt(np.mean(apart**2) / np.mean(expected.astype(np.float64) ** 2))),
        "largest": float(np.abs(apart).max() / np.abs(expected).max()),
    }


def measure(engine: Engine, channels: int, seconds: float) -> dict[str, float]:
    """Carried steps of all channels at once, for some seconds."""
    rng = np.random.default_rng(1)
    sets = [rng.normal(size=(channels, engine.block_samples)).astype(np.float32) for _ in range(2)]
    state = engine.new_state(channels)
    rows = np.arange(channels)
    for blocks in sets:
        engine.step(blocks, state, rows)
    took: list[float] = []
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < seconds or len(took) < 3:
        step_s = time.perf_counter()
        engine.step(sets[len(took) % 2], state, rows)
        took.append(time.perf_counter() - step_s)
    median_s = float(np.median(took))
    return {
        "blocks_per_s": channels / median_s,
        "latency_s_p50": median_s,
        "latency_s_p99": float(np.quantile(took, 0.99)),
        "steps": len(took),
    }


def print_row(row: dict[str, Any]) -> None:
    """A line of the table for each engine."""
    reference = row["onnxruntime"]["blocks_per_s"]
    for name in (name for name in row if name != "channels"):
        found = row[name]
        print(
            f"{row['channels']:>8,} channels  {name:<11} {found['blocks_per_s']:>12,.0f} blocks/s "
            f"(p50 {found['latency_s_p50'] * 1e3:.2f} ms, p99 {found['latency_s_p99'] * 1e3:.2f} ms)  "
            f"{found['blocks_per_s'] / reference:.1f} times onnxruntime"
        )


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def driver() -> str | None:
    """Name and driver of the GPU as ``nvidia-smi`` says them, None without it."""
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
