"""The stages of the hot path, each by itself: ``pytest tests/benchmarks --benchmark-enable`` prints the table.

Without that option each runs once, as a test that it still runs.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.config.configuration import Config
from monitor.core.messages.decode import decoder
from monitor.core.samples.rings import Rings
from monitor.core.scoring.plausibility import Skip
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.mqtt.connection import MqttState
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.worker import Worker
from monitor.runtime.web.metrics import families
from monitor.runtime.web.view import View
from monitor.shipped import shipped

CHANNELS = 1000
PAYLOAD = np.random.default_rng(0).normal(size=1000).astype("<f4").tobytes()

Benchmark = Callable[..., Any]


@pytest.fixture(scope="module")
def lane() -> Lane:
    return Lane(LaneShape("default", CHANNELS, 100, 25, 64))


@pytest.fixture(scope="module")
def worker(lane: Lane) -> Worker:
    engine = load_engine(load_artefact(shipped("models/reference")), "onnxruntime")
    made = Worker(lane, engine)
    made.pipeline.configure(np.arange(CHANNELS), 128, 1)
    return made


@pytest.fixture(scope="module")
def ingest(lane: Lane) -> Ingest:
    sensor = {"topic": "plant/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": 12800}
    config = Config.model_validate({"sensors": [sensor], "limits": {"channels": CHANNELS}})

    def ignore(channel: Channel) -> None:
        del channel

    made = Ingest(config, {"default": lane.rings}, ignore, time.monotonic)
    for number in range(CHANNELS):
        made.deliver(f"plant/machine-{number}/x", PAYLOAD)
    follow(lane.rings)
    return made


def follow(rings: Rings) -> None:
    """As if the readers had taken everything, at next to no cost."""
    rings._taken[:] = rings._complete


def test_decode_a_message_of_1000_samples(benchmark: Benchmark) -> None:
    decode = decoder("float32", ("x",), 12800.0)
    assert benchmark(decode, PAYLOAD).axes["x"].size == 1000


def test_append_1000_samples_to_a_ring(benchmark: Benchmark) -> None:
    rings = Rings(1, 64, 100)
    samples = np.frombuffer(PAYLOAD, "<f4")

    def append() -> None:
        rings.append(0, samples, 1.0, 0.0)
        follow(rings)

    benchmark(append)
    assert rings.next_sample(0) % 1000 == 0


def test_deliver_a_message_end_to_end(benchmark: Benchmark, ingest: Ingest, lane: Lane) -> None:
    def deliver() -> None:
        ingest.deliver("plant/machine-7/x", PAYLOAD)
        follow(lane.rings)

    benchmark(deliver)
    assert not ingest.rejected


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_round_of_1000_channels(benchmark: Benchmark, ingest: Ingest, worker: Worker, *, calibrated: bool) -> None:
    calibration = bench_calibration(100) if calibrated else None
    limit = 0.0 if calibration is None else calibration.limit(1.0)
    worker.pipeline.assign(np.arange(CHANNELS), calibration, limit)

    def setup() -> None:
        for number in range(CHANNELS):
            ingest.deliver(f"plant/machine-{number}/x", PAYLOAD[:400])

    benchmark.pedantic(worker.round, setup=setup, rounds=50, warmup_rounds=2)  # type: ignore[attr-defined]
    board = worker.lane.board
    assert int((board.blocks_scored + board.skipped[Skip.WARM_UP]).min()) > 0


def test_a_metrics_page_of_1000_channels(benchmark: Benchmark, ingest: Ingest, lane: Lane) -> None:
    view = View(
        label_names=("machine", "axis"), ingest=ingest, lanes={"default": lane}, source=MqttState(), models=(),
        now_s=time.monotonic(), wall_offset_s=0.0, silent_after_s=1e9, channel_limit=CHANNELS, reload_successful=True,
        reloaded_at_s=0.0,
    )  # fmt: skip
    page = benchmark(families.render, view)
    assert page.count(b"vibration_samples_received_total{") == CHANNELS
