"""A network that gives no forecast of one channel: counted for that channel, alike in daemon and backtest."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.offline.backtest import backtest
from monitor.offline.calibration_run import Cut
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recordings
from monitor.runtime.web.metrics.exposition import MetricsPage
from monitor.runtime.web.metrics.families import write_channels
from monitor.runtime.web.page.picture import make_picture, picture_document
from tests.support.networks.numpy_engine import Exploding, NumpyEngine
from tests.support.page.page_plant import Plant

BLOCKS, RATE_HZ = 400, 800.0
MACHINES = ("fan", "pump", "mill")
WARMUP = NumpyEngine().window_blocks
TIMES = BLOCKS // Exploding.EVERY - 1
"""Blocks without a forecast; there is no block after the last time."""


def exported(engine: NumpyEngine, signals: list[Float32]) -> list[Counter[str]]:
    """What the metrics page counts of each machine: scored blocks, and skipped ones by reason."""
    plant = Plant(engine=engine, rate_hz=RATE_HZ)
    for machine, samples in zip(MACHINES, signals, strict=True):
        plant.send(machine, samples)
    page = MetricsPage()
    write_channels(page, plant.view())
    found = [Counter[str]() for _ in MACHINES]
    for line in page.lines:
        name, _, rest = line.partition("{")
        if name in {"vibration_blocks_scored_total", "vibration_blocks_skipped_total"}:
            labels, _, value = rest.rpartition("} ")
            parts = dict(part.split("=") for part in labels.replace('"', "").split(","))
            found[MACHINES.index(parts["machine"])][parts.get("reason", "scored")] += int(float(value))
    return found


@pytest.mark.parametrize("value", [np.nan, 1e5])
def test_blocks_without_a_forecast_are_counted_alike_by_daemon_and_backtest(tmp_path: Path, value: float) -> None:
    rng = np.random.default_rng(1)
    signals = [rng.normal(size=BLOCKS * 8).astype(np.float32) for _ in MACHINES]
    for machine, samples in zip(MACHINES, signals, strict=True):
        np.savez(tmp_path / f"{machine}.npz", acceleration=samples, sampling_rate_hz=RATE_HZ, unit="m/s2")
    recordings = open_recordings(tuple(str(tmp_path / f"{name}.npz") for name in MACHINES), RecordingOptions())
    counted = exported(Exploding(row=1, value=value), signals)
    per_context = Exploding.EVERY - WARMUP
    assert +counted[1] == {
        "scored": (TIMES + 1) * per_context,
        "no_forecast": TIMES,
        "warm_up": WARMUP + TIMES * (WARMUP - 1),
    }
    assert counted[1].total() == BLOCKS
    for neighbour in (0, 2):
        assert +counted[neighbour] == {"scored": BLOCKS - WARMUP, "warm_up": WARMUP}
    results = backtest(Exploding(row=1, value=value), 100, recordings, Cut(100, WARMUP, None), None, 1.0)
    assert [{"scored": one.blocks_scored, **one.blocks_skipped} for one in results] == [+one for one in counted]


def test_the_page_says_that_there_is_no_forecast() -> None:
    blocks = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    said = []
    for engine in (NumpyEngine(), Exploding()):
        picture = make_picture(engine, "carried", 0, blocks, 100)
        assert picture is not None
        said.append(picture_document(picture, RATE_HZ)["no_forecast"])
    assert said == [False, True]
