"""What it costs to write every score to Kafka: the daemon's processor time, beside that of taking the samples.

A thousand channels, one interval a second each. In one process and turn by turn: the messages of a second through the
intake, and the closed intervals of a second through the desk to a real broker. Then the worker's side: the same blocks
scored with and without handing intervals over. Needs the Kafka of the tests.

    python tests/benchmarks/scores_cost.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.bench.alone import bench_calibration
from monitor.config.file import parse_config, with_own_place
from monitor.core.messages.encode import packed_samples
from monitor.core.samples.rings import Rings
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.source import KafkaState
from monitor.runtime.lanes.closed import Closed
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Answer, Clear, Configure, Keep, Report
from monitor.runtime.lanes.worker import Worker
from monitor.runtime.log.internal_errors import InternalErrors
from monitor.runtime.scores.desk import ScoreDesk
from monitor.runtime.wall_clock import WallClock
from monitor.shipped import shipped
from tests.support.kafka.broker import kafka
from tests.support.servers import until

CHANNELS, RATE_HZ, MESSAGE_SAMPLES, SECONDS, INTERVAL_BLOCKS = 1000, 12_800, 1280, 30, 128


class Working:
    """A worker with all channels, and what it tells."""

    def __init__(self) -> None:
        self.told: list[Answer] = []
        self.lane = Lane(LaneShape("default", CHANNELS, 100, 25, 2 * INTERVAL_BLOCKS))
        engine = load_engine(load_artefact(shipped("models/reference")), "onnxruntime")
        self.worker = Worker(self.lane, engine, tell=self.told.append)
        calibration = bench_calibration(100, RATE_HZ)
        self.worker.obey(Keep(0, calibration))
        for row in range(CHANNELS):
            self.worker.obey(Clear(row, 0))
            self.worker.obey(Configure(row, INTERVAL_BLOCKS, 25, 0, calibration.limit(1.0)))
        slots: Any = self.lane.rings._slots
        slots[:] = np.random.default_rng(0).normal(size=slots.shape)
        self.lane.rings._first[:, 0] = True

    def second(self) -> float:
        """Processor time of a second of all channels."""
        self.lane.rings._arrived_s[:] = time.monotonic()
        self.lane.rings._complete[:] += INTERVAL_BLOCKS
        began_s = time.process_time()
        while self.worker.round():
            pass
        return time.process_time() - began_s


async def daemon_side(bootstrap: str, intervals: list[Closed], inference: Any) -> tuple[list[float], list[float]]:
    """Processor time of taking, and of writing, each second."""
    text = (
        f"kafka: {{bootstrap: '{bootstrap}', scores_topic: scores}}\n"
        "sensors: [{topic: 'load/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 12800}]\n"
        f"limits: {{channels: {CHANNELS}, buffer: 2s}}\n"
    )
    config = with_own_place(parse_config(text, Path("scores-cost")), Path("scores-cost"))
    rings = Rings(CHANNELS, 256, 100)
    rings._slots[:] = 0.0  # memory is used from the beginning
    ingest = Ingest(config, {"default": rings}, lambda _: None, time.monotonic)
    desk = ScoreDesk(KafkaState, ingest.of_rows, WallClock(time.time, time.monotonic), InternalErrors(time.monotonic))
    desk.configure(config, {"default": inference})
    writing = asyncio.create_task(desk.run())
    payload = packed_samples(np.random.default_rng(0).normal(size=MESSAGE_SAMPLES).astype(np.float32))
    taking_s, writing_s = [], []
    for second in range(SECONDS):
        began_s = time.process_time()
        for _ in range(RATE_HZ // MESSAGE_SAMPLES):
            for machine in range(CHANNELS):
                ingest.deliver(f"load/machine-{machine}/x", payload)
            rings._taken[:] = rings._complete
        taking_s.append(time.process_time() - began_s)
        before, began_s = desk.written or 0, time.process_time()
        desk.closed(inference, intervals[second % len(intervals)])
        await until(lambda: (desk.written or 0) >= before + CHANNELS)  # noqa: B023 - its thread's time counts, too
        writing_s.append(time.process_time() - began_s)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await desk.close()
    if desk.dropped:
        raise SystemExit(f"records were dropped: {dict(desk.dropped)}")
    return taking_s, writing_s


class Told:
    """Stands for the workers of a lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.clears = np.ones(CHANNELS, np.int64)

    def report(self, wanted: bool) -> None:
        """Nothing to begin."""


def main() -> None:
    """Print both sides."""
    without, reporting = Working(), Working()
    reporting.worker.obey(Report(wanted=True))
    pairs = [(without.second(), reporting.second()) for _ in range(6)][1:]
    plain_s, with_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"worker, a second of {CHANNELS} channels: {1e3 * plain_s:.0f} ms, handing over {1e3 * with_s:.0f} ms: "
        f"{with_s / plain_s:.3f}"
    )
    found = np.concatenate([each.intervals for each in reporting.told if isinstance(each, Closed)])
    seconds = [Closed(found[at : at + CHANNELS]) for at in range(0, len(found) - CHANNELS + 1, CHANNELS)]
    with tempfile.TemporaryDirectory() as name, kafka(Path(name)) as cluster:
        cluster.create("scores", 4)
        taking_s, writing_s = asyncio.run(daemon_side(cluster.bootstrap, seconds, Told(reporting.lane)))
    taking, writing = statistics.median(taking_s), statistics.median(writing_s)
    print(
        f"daemon, a second of {CHANNELS} channels: samples {1e3 * taking:.0f} ms, scores {1e3 * writing:.0f} ms: "
        f"{writing / taking:.3f}"
    )


if __name__ == "__main__":
    main()
