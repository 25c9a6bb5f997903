"""What velocity and the usual figures cost a worker: ``python tests/benchmarks/figures_cost.py``.

One worker steps a thousand channels of 12.8 kHz, turn by turn with figures and without, in one run on one core. Its
clock is that of the samples, so it measures as many records as in real time; printed is the share of processor time.
"""

import time

import numpy as np

from monitor.bench.alone import bench_calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Configure, Keep
from monitor.runtime.lanes.worker import Worker
from monitor.shipped import shipped

CHANNELS, RATE_HZ, BLOCK = 1000, 12800.0, 100
ROUNDS = 128
"""Blocks of each channel in a turn, one second of samples."""
TURNS = 24


def main() -> None:
    """Print the share."""
    engine = load_engine(load_artefact(shipped("models/reference")), "onnxruntime")
    now_s = [0.0]
    workers = []
    for rate_hz in (RATE_HZ, 0.0):
        worker = Worker(Lane(LaneShape("default", CHANNELS, BLOCK, 25, 64)), engine, clock=lambda: now_s[0])
        worker.obey(Keep(0, bench_calibration(BLOCK)))
        for row in range(CHANNELS):
            worker.obey(Configure(row, 128, 25, 0, 8.0, sampling_rate_hz=rate_hz))
        workers.append(worker)
    noise = np.random.default_rng(0).normal(size=(CHANNELS, 16 * BLOCK)).astype(np.float32)
    spent_s = np.zeros((TURNS, 2))
    for turn in range(TURNS):
        began_s = now_s[0]
        for number, worker in enumerate(workers):
            now_s[0] = began_s
            for _ in range(ROUNDS // 16):
                for row in range(CHANNELS):
                    worker.lane.rings.append(row, noise[row], 1.0, now_s[0])
                cpu_s = time.process_time()
                while worker.round():
                    now_s[0] += BLOCK / RATE_HZ
                spent_s[turn, number] += time.process_time() - cpu_s
    settled = spent_s[4:]
    share = settled.sum(axis=0)
    print(f"records: {np.isfinite(workers[0].lane.board.kurtosis).sum()} of {CHANNELS} channels")
    print(f"processor time with figures / without: {share[0] / share[1]:.4f}")
    print(f"median of the turns: {np.median(settled[:, 0] / settled[:, 1]):.4f}")


if __name__ == "__main__":
    main()
