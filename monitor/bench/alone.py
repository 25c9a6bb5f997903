"""What this machine carries, without a broker: forecasts a second, channels in real time, latency, memory.

Every figure is of the path that the daemon uses: the engine alone on one core, and ring to score by its workers. Where
Keras is installed its ``predict``, as the tutorial uses it, is measured in the same run, so that a ratio can be quoted.
Refuses to know: MQTT.
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

from monitor.core.forecaster import Engine
from monitor.core.scoring.calibration import Calibration
from monitor.core.scoring.fit import HealthyContext, calibrate
from monitor.model.artefact.artefact import Artefact
from monitor.model.engines.engines import EngineName
from monitor.runtime.lanes import interpreter
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Batches, Configure
from monitor.runtime.lanes.worker import BACKLOG_SHARE
from monitor.runtime.lanes.workers import Inference

MEASURE_S = 1.0
"""Seconds of one measurement. Shorter: noise. Longer: a bench that nobody runs."""

CAPACITY_BLOCKS = 64
"""Blocks of a ring, half a second at 12.8 kHz. Fewer: workers wait for the source. More: memory."""


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
    """Median time of a call; of the pipeline, block in to score at half the throughput (a bucket's upper bound)."""
    latency_s_p99: float
    """99th percentile, likewise."""


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


def bench_calibration(block_samples: int, sampling_rate_hz: float = 12800.0) -> Calibration:
    """A calibration of noise, 128 blocks a score, so that the scoring has all to do that it has in production."""
    rng = np.random.default_rng(1)
    observed, residual = rng.normal(size=(2, 2048, block_samples)).astype(np.float32)
    healthy = HealthyContext(observed, residual, np.ones(2048, np.float32))
    return calibrate([healthy], interval_blocks=128, warmup_blocks=1, sampling_rate_hz=sampling_rate_hz)


def bench_pipeline(
    artefact: Artefact, engine: EngineName, channels: int, workers: int, calibrations: int = 1, mode: str = "carried"
) -> Result:
    """Ring to score, by the daemon's own workers: as much as they take, then half of that for the latency.

    Args:
        artefact: the model.
        engine: what runs it.
        channels: all have blocks at the same time, as when their messages come in step.
        workers: processes.
        calibrations: how many different ones the channels have; 0: none, figures only.
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
        before, began_s = source.scored(), time.monotonic()
        _while(MEASURE_S, source.fill)
        rate = (source.scored() - before) / (time.monotonic() - began_s)
        source.drain()
        latencies = inference.lane.latencies
        counts = latencies.counts
        began_s, first = time.monotonic(), source.blocks
        _while(MEASURE_S, lambda: source.add_until(first + int((time.monotonic() - began_s) * rate / 2 / channels)))
        source.drain()
        p50, p99 = (latencies.quantile(q, counts) for q in (0.5, 0.99))
    finally:
        inference.stop()
    return Result("pipeline", ready.engine, mode, channels, rate, p50, p99)


def _configure(inference: Inference, channels: int, calibrations: int) -> None:
    calibration = bench_calibration(inference.lane.shape.block_samples)
    own = [replace(calibration, whitening=calibration.whitening.copy()) for _ in range(calibrations)]
    for row in range(channels):
        order = Configure(row, 128, 1, limit=calibration.limit(1.0))
        inference.configure(order, own[row * calibrations // channels] if own else None)


class _Source:
    """Gives every channel blocks at once, past the messages' path, which is measured on its own."""

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
        """As much as the slowest worker leaves room for, up to what it would give up."""
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
