"""The benchmark without a broker: forecasts per second, channels in real time, latency, start time and memory.

It measures the code that the daemon runs: the engine alone on one core, and the path from ring to score by the workers.
If Keras is installed, its ``predict``, as the tutorial uses it, is measured in the same run for comparison.
"""

import importlib.util
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from monitor.core.forecasting.forecaster import Engine
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import Stretch
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.model.artefact.artefact import Artefact
from monitor.model.engines.engines import EngineName
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Batches, Configure
from monitor.runtime.lanes.worker import BACKLOG_SHARE
from monitor.runtime.lanes.workers import Inference
from monitor.runtime.processes import interpreter, procfs

MEASURE_S = 1.0
"""Seconds of one measurement. Shorter: noisy results. Longer: the benchmark takes minutes."""

CAPACITY_BLOCKS = 64
"""Blocks of a ring, half a second at 12.8 kHz. Fewer: workers starve. More: more memory."""


@dataclass(frozen=True)
class Result:
    """One measurement."""

    stage: str
    """What was measured: ``engine``, ``pipeline`` or ``keras_predict``."""
    engine: str
    """Name of the engine."""
    mode: str
    """``carried`` or ``windowed``; a window counts as one block."""
    batch: int
    """Blocks per call."""
    blocks_per_s: float
    """Throughput in blocks per second."""
    latency_s_p50: float
    """Median time of a call; for ``pipeline``, from block to score at half the throughput (upper bound of a bucket)."""
    latency_s_p99: float
    """99th percentile of the same time."""
    cpu_ms_per_million: float = float("nan")
    """For ``pipeline``: processor time of the workers a million samples, in ms."""


def measure(call: Callable[[], object], batch: int, stage: str, engine: str, mode: str) -> Result:
    """Call a function repeatedly for ``MEASURE_S``, after a few warm-up calls."""
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
    """Measure the engine alone, in both modes."""
    rng = np.random.default_rng(0)
    results = []
    for batch in batches:
        blocks = rng.normal(size=(batch, engine.block_samples)).astype(np.float32)
        step = partial(engine.step, blocks, engine.new_state(batch), np.arange(batch))
        results.append(measure(step, batch, "engine", engine.name, "carried"))
        windows = rng.normal(size=(batch, engine.window_blocks, engine.block_samples)).astype(np.float32)
        results.append(measure(partial(engine.forecast_windows, windows), batch, "engine", engine.name, "windowed"))
    return results


def bench_calibration(block_samples: int, sampling_rate_hz: float = 12800.0) -> Calibration:
    """A calibration on noise with intervals of 128 blocks, so that the scoring does as much work as in production."""
    rng = np.random.default_rng(1)
    signal, noise = rng.normal(size=(2, 2049, block_samples)).astype(np.float32)
    healthy = Stretch(signal[0], signal[1:], 0.5 * (signal[1:] + noise[1:]))
    return calibrate(
        [[healthy]],
        interval_blocks=128,
        warmup_blocks=1,
        sampling_rate_hz=sampling_rate_hz,
        block_samples=block_samples,
    )


def bench_pipeline(
    artefact: Artefact, engine: EngineName, channels: int, workers: int, calibrations: int = 1, mode: str = "carried"
) -> Result:
    """Measure from ring to score with the daemon's workers: the throughput, then the latency at half of it.

    Args:
        artefact: the model.
        engine: the engine that runs it.
        channels: number of channels; all get blocks at the same time.
        workers: number of worker processes.
        calibrations: number of different calibrations of the channels; 0: none, and no scores.
        mode: ``carried`` or ``windowed``.
    """
    network = artefact.manifest.shape
    shape = LaneShape(
        "bench", channels, network.block_samples, network.window_blocks, CAPACITY_BLOCKS, mode=mode, parts=workers
    )
    inference = Inference(shape, artefact, engine, Batches(max_batch=channels, max_delay_s=0.001))
    try:
        ready = inference.wait_until_ready()
        _configure(inference, channels, calibrations)
        source = _Source(inference.lane)
        _while(MEASURE_S / 2, source.fill)
        before, used_s, began_s = source.scored(), _cpu_s(inference), time.monotonic()
        _while(MEASURE_S, source.fill)
        blocks = source.scored() - before
        rate = blocks / (time.monotonic() - began_s)
        cpu_ms = 1e9 * (_cpu_s(inference) - used_s) / (blocks * network.block_samples)
        source.drain()
        latencies = inference.lane.latencies
        counts = latencies.counts
        began_s, first = time.monotonic(), source.blocks
        _while(MEASURE_S, lambda: source.add_until(first + int((time.monotonic() - began_s) * rate / 2 / channels)))
        source.drain()
        p50, p99 = (latencies.quantile(q, counts) for q in (0.5, 0.99))
    finally:
        inference.stop()
    return Result("pipeline", ready.engine, mode, channels, rate, p50, p99, cpu_ms)


def _cpu_s(inference: Inference) -> float:
    return sum(map(procfs.cpu_s, inference.pids))


def _configure(inference: Inference, channels: int, calibrations: int) -> None:
    calibration = bench_calibration(inference.lane.shape.block_samples)
    own = [replace(calibration, head=replace(calibration.head)) for _ in range(calibrations)]
    for row in range(channels):
        order = Configure(row, 128, 1, limit=calibration.limit(1.0))
        inference.configure(order, own[row * calibrations // channels] if own else None)


class _Source:
    """Writes blocks of all channels to the rings directly, without MQTT messages."""

    def __init__(self, lane: Lane) -> None:
        self.blocks = 0
        self._lane, self._rings = lane, lane.rings
        self._rings._slots[:] = np.random.default_rng(0).normal(size=self._rings._slots.shape)  # noqa: SLF001
        self._rings._first[:, 0] = True  # noqa: SLF001

    def scored(self) -> int:
        return int(self._lane.board.blocks_scored.sum())

    def add_until(self, blocks: int) -> None:
        if blocks > self.blocks:
            slots = np.arange(self.blocks, blocks) % self._rings.capacity_blocks
            self._rings._arrived_s[:, slots] = time.monotonic()  # noqa: SLF001
            self._rings._complete[:] = self.blocks = blocks  # noqa: SLF001

    def fill(self) -> None:
        """Add as many blocks as the slowest worker has room for, without causing skipped blocks."""
        room = int(self._rings.capacity_blocks * BACKLOG_SHARE) - int(self._rings.backlog().max())
        self.add_until(self.blocks + max(0, room))

    def drain(self) -> None:
        deadline_s = time.monotonic() + 30
        while self._rings.backlog().any() and time.monotonic() < deadline_s:
            time.sleep(0.001)


def _while(seconds: float, act: Callable[[], None]) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        act()
        time.sleep(0.002)


def bench_keras(artefact: Artefact) -> list[Result]:
    """Measure Keras ``predict`` with 1 and 64 windows, as in the tutorial; empty if Keras is not installed."""
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
    """Seconds from the start of a daemon process to the first answer of its HTTP server."""
    config = (
        "sensors: [{topic: 'a/{machine}', payload: {format: float32}, sampling_rate_hz: 12800}]\n"
        f"inference: {{engine: {engine}}}\nhttp: {{listen: '127.0.0.1:0'}}\n"
        # No broker listens on the discard port; the start does not wait for one.
        "mqtt: {url: 'mqtt://127.0.0.1:9'}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(config, encoding="utf-8")
        command = interpreter.command("monitor", "run", "--config", str(file), "--log-level", "error", "--announce")
        began_s = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            try:
                address = child.stdout.readline().strip() if child.stdout else ""
                with urlopen(f"{address}/-/healthy", timeout=10):  # noqa: S310 - our own daemon
                    return time.monotonic() - began_s
            finally:
                child.terminate()


def device_name() -> str:
    """Name of the CPU, and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def channels_in_real_time(
    results: list[Result], rates_hz: tuple[float, ...], block_samples: int = 100
) -> dict[str, int]:
    """Number of channels that the measured pipeline can process in real time, by sampling rate."""
    fastest = max((r.blocks_per_s for r in results if r.stage == "pipeline"), default=0.0)
    return {f"{rate:g}": int(fastest * block_samples / rate) for rate in rates_hz}


def document(results: list[Result], rates_hz: tuple[float, ...], ready_s: float, resident: int) -> dict[str, object]:
    """The JSON output of ``bench``."""
    return {
        "device": device_name(),
        "results": [asdict(result) for result in results],
        "channels_in_real_time": channels_in_real_time(results, rates_hz),
        "resident_memory_bytes": resident,
        "start_to_ready_s": ready_s,
    }
