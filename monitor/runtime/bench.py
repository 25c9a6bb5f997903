"""What this machine carries, without a broker: forecasts a second, channels in real time, latency, memory.

Every figure is of the path that the daemon uses: the engine alone, and the pipeline from ring to figures. Where Keras
is installed its ``predict``, as the tutorial uses it, is measured in the same run, so that a ratio can be quoted.
Refuses to know: MQTT.
"""

import importlib.util
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from monitor.core.calibrate import HealthyContext, calibrate
from monitor.core.calibration import Calibration
from monitor.core.forecaster import Engine
from monitor.core.rings import Rings
from monitor.model.artefact import Artefact
from monitor.runtime.inference import Inference, make_lane

MEASURE_S = 1.0
"""Seconds of one measurement. Shorter: noise. Longer: a bench that nobody runs."""


@dataclass(frozen=True)
class Result:
    """One measurement."""

    stage: str
    """``engine``, ``pipeline`` or ``keras_predict``."""
    engine: str
    """Which engine."""
    mode: str
    """``carried`` or ``windowed``; one window counts as one block."""
    batch: int
    """Blocks a call."""
    blocks_per_s: float
    """Throughput."""
    latency_s_p50: float
    """Median time of a call."""
    latency_s_p99: float
    """99th percentile."""


def measure(call: Callable[[], object], batch: int, stage: str, engine: str, mode: str) -> Result:
    """Call again and again for a while, after a few calls that do not count."""
    for _ in range(3):
        call()
    times: list[float] = []
    end_s = time.perf_counter() + MEASURE_S
    while (began_s := time.perf_counter()) < end_s or len(times) < 5:
        call()
        times.append(time.perf_counter() - began_s)
    p50, p99 = np.percentile(times, [50, 99])
    return Result(stage, engine, mode, batch, batch * len(times) / sum(times), float(p50), float(p99))


def bench_engine(engine: Engine, batches: tuple[int, ...]) -> list[Result]:
    """The engine alone, in both modes."""
    rng = np.random.default_rng(0)
    results = []
    for batch in batches:
        blocks = rng.normal(size=(batch, engine.block_samples)).astype(np.float32)
        step = partial(engine.step, blocks, engine.new_state(batch), np.arange(batch))
        results.append(measure(step, batch, "engine", engine.name, "carried"))
        windows = rng.normal(size=(batch, engine.window_blocks, engine.block_samples)).astype(np.float32)
        results.append(measure(partial(engine.forecast_windows, windows), batch, "engine", engine.name, "windowed"))
    return results


def bench_calibration(block_samples: int) -> Calibration:
    """A calibration of noise, so that the scoring has everything to do that it has in production."""
    rng = np.random.default_rng(1)
    observed, residual = rng.normal(size=(2, 2048, block_samples)).astype(np.float32)
    healthy = HealthyContext(observed, residual, np.ones(2048, np.float32))
    return calibrate([healthy], interval_blocks=128, warmup_blocks=1, sampling_rate_hz=12800.0)


def bench_pipeline(engine: Engine, channels: int, calibrations: int = 1, mode: str = "carried") -> Result:
    """Ring to score: every channel has one block a round, as when their messages come in step.

    Args:
        engine: runs the model.
        channels: as many blocks are in a batch.
        calibrations: how many different ones the channels have; 0: none, figures only.
        mode: ``carried`` or ``windowed``.
    """
    lane = make_lane("bench", engine, channels, capacity_blocks=8, level_blocks=100, mode=mode)
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(16, channels, engine.block_samples)).astype(np.float32)
    lane.pipeline.configure(np.arange(channels), 128, 1)
    if calibrations:
        calibration = bench_calibration(engine.block_samples)
        for rows in np.array_split(np.arange(channels), calibrations):
            own = replace(calibration, whitening=calibration.whitening.copy())
            lane.pipeline.scoring.assign(rows, own, own.limit(1.0))
    inference = Inference([lane], time.monotonic, lambda _: None, max_batch=channels)
    number = 0

    def fill(rings: Rings) -> None:
        # All rows at once, past the per-message path, which is measured on its own.
        nonlocal number
        slot = number % rings.capacity_blocks
        rings._slots[:, slot] = blocks[number % 16]  # noqa: SLF001 - the measured path starts at the ring
        rings._first[:, slot] = number == 0  # noqa: SLF001
        rings._complete += 1  # noqa: SLF001
        number += 1

    times: list[float] = []
    end_s = time.perf_counter() + MEASURE_S
    while time.perf_counter() < end_s or len(times) < 8:
        fill(lane.rings)
        began_s = time.perf_counter()
        inference.round(lane)
        times.append(time.perf_counter() - began_s)
    times = times[3:]
    p50, p99 = np.percentile(times, [50, 99])
    rate = channels * len(times) / sum(times)
    return Result("pipeline", engine.name, mode, channels, rate, float(p50), float(p99))


def bench_keras(artefact: Artefact) -> list[Result]:
    """Keras ``predict`` of one window and of 64, as the tutorial calls it; nothing where Keras is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        return []
    from monitor.model.network import build_network

    shape = artefact.manifest.shape
    network = build_network(shape, every_block=False)
    network.set_weights(artefact.weights())
    results = []
    for batch in (1, 64):
        windows = np.zeros((batch, shape.window_blocks, shape.block_samples), np.float32)
        predict = partial(network.predict, windows, verbose=0)
        results.append(measure(predict, batch, "keras_predict", "keras", "windowed"))
    return results


def start_to_ready_s(engine: str) -> float:
    """Seconds from starting a daemon's process to its HTTP server's answer, measured from outside."""
    config = (
        "sensors: [{topic: 'a/{machine}', payload: {format: float32}, sampling_rate_hz: 12800}]\n"
        f"inference: {{engine: {engine}}}\nhttp: {{listen: '127.0.0.1:0'}}\n"
        # Nobody answers on the discard port: a broker is not waited for.
        "mqtt: {url: 'mqtt://127.0.0.1:9'}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(config, encoding="utf-8")
        command = [sys.executable, "-m", "monitor", "run", "--config", str(file), "--log-level", "error", "--announce"]
        began_s = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            try:
                address = child.stdout.readline().strip() if child.stdout else ""
                with urlopen(f"{address}/-/healthy", timeout=10):  # noqa: S310 - our own daemon
                    return time.monotonic() - began_s
            finally:
                child.terminate()


def resident_bytes() -> int:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def device_name() -> str:
    """The processor's name and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def channels_in_real_time(
    results: list[Result], rates_hz: tuple[float, ...], block_samples: int = 100
) -> dict[str, int]:
    """How many channels the measured pipeline keeps up with, by their sampling rate."""
    fastest = max((r.blocks_per_s for r in results if r.stage == "pipeline"), default=0.0)
    return {f"{rate:g}": int(fastest * block_samples / rate) for rate in rates_hz}


def document(results: list[Result], rates_hz: tuple[float, ...], ready_s: float, resident: int) -> dict[str, object]:
    """The JSON document of ``bench``."""
    return {
        "device": device_name(),
        "results": [asdict(result) for result in results],
        "channels_in_real_time": channels_in_real_time(results, rates_hz),
        "resident_memory_bytes": resident,
        "start_to_ready_s": ready_s,
    }
