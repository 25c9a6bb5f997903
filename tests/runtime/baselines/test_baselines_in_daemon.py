"""What a running daemon does with the baselines in its state directory."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.config.file import read_config
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.runtime.baselines.changes import Action, Wish
from monitor.runtime.baselines.history import slug_of
from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.daemon import Daemon
from monitor.shipped import shipped
from tests.support.daemons import SENSOR, configuration

MODEL = load_artefact(shipped("models/reference")).sha256
FAN, PUMP = {"machine": "fan", "axis": "x"}, {"machine": "pump", "axis": "x"}
ANNA = Asked("anna", "commissioning")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return bench_calibration(100, 12000.0)


def save(path: Path, calibration: Calibration, model: str = MODEL) -> Path:
    save_calibrations(path, {ANY_REGIME: calibration}, model_sha256=model, channel="fan", made={})
    return path


def on_daemon(
    tmp_path: Path, sensor: dict[str, object], story: Callable[[Daemon], Awaitable[None]], more: str = ""
) -> None:
    """Run a daemon without a broker, with the channels fan/x and pump/x."""
    config = tmp_path / "config.yaml"
    sensors = f"sensors: {json.dumps([{**SENSOR, **sensor}])}\n"
    text = f"state_dir: {tmp_path / 'state'}\nevidence: {{enabled: false}}\n{more}{sensors}"
    config.write_text(configuration(1, 0, text))

    async def run() -> None:
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        try:
            for name in ("fan", "pump"):
                deliver(daemon, name, 100)
            await story(daemon)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await daemon.close()

    asyncio.run(asyncio.wait_for(run(), 240))


def deliver(daemon: Daemon, name: str, samples: int) -> None:
    signal = np.random.default_rng(2).normal(size=samples)
    daemon.ingest.deliver(f"plant/{name}/x", signal.astype("<f4").tobytes())


def calibrated(daemon: Daemon) -> dict[str, float | None]:
    """Hours that the calibration of each channel was made from."""
    found = {channel.name: channel.calibration for channel in daemon.ingest.channels.values()}
    return {name: None if one is None else one.healthy_s for name, one in sorted(found.items())}


async def until_scored(daemon: Daemon, name: str) -> None:
    for _ in range(400):
        deliver(daemon, name, 1200)
        await asyncio.sleep(0.05)
        if f'vibration_anomaly_score{{machine="{name}"' in daemon.metrics_page().decode():
            return
    pytest.fail("no score")


def test_an_imported_baseline_scores_its_channel_and_no_other(tmp_path: Path, calibration: Calibration) -> None:
    Store(tmp_path / "state", lambda: 0.0).bring(FAN, save(tmp_path / "c.npz", calibration), ANNA)

    async def story(daemon: Daemon) -> None:
        assert calibrated(daemon) == {"fan/x": calibration.healthy_s, "pump/x": None}
        before = [channel.calibration for channel in daemon.ingest.channels.values()]
        await daemon.reload()
        assert [channel.calibration for channel in daemon.ingest.channels.values()] == before
        await until_scored(daemon, "fan")

    on_daemon(tmp_path, {}, story)


def test_a_file_that_the_configuration_names_comes_first(tmp_path: Path, calibration: Calibration) -> None:
    store = Store(tmp_path / "state", lambda: 0.0)
    store.bring(FAN, save(tmp_path / "c.npz", calibration), ANNA)
    save(tmp_path / "pump.npz", bench_calibration(100, 6000.0))

    async def story(daemon: Daemon) -> None:
        assert calibrated(daemon) == {"fan/x": None, "pump/x": 2 * calibration.healthy_s}

    on_daemon(tmp_path, {"calibration": "{machine}.npz"}, story)


def test_baselines_that_cannot_be_used_cost_their_channel_only(
    tmp_path: Path, calibration: Calibration, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "state", lambda: 0.0)
    store.bring(FAN, save(tmp_path / "c.npz", calibration), ANNA)
    store.bring(PUMP, save(tmp_path / "o.npz", calibration, model="ab" * 32), ANNA)
    store.bring({"machine": "old", "axis": "x"}, tmp_path / "c.npz", ANNA)
    (tmp_path / "state" / "baselines" / f"{slug_of({'machine': 'old', 'axis': 'x'})}.json").write_text("{")

    async def story(daemon: Daemon) -> None:
        assert calibrated(daemon) == {"fan/x": calibration.healthy_s, "pump/x": None}

    on_daemon(tmp_path, {}, story)
    told = [line for line in caplog.messages if "baseline" in line]
    assert len(told) == 2
    assert "is not a history of baselines, or is damaged" in told[0]
    assert f"pump/x: no score: baseline 1 was learned with model abababababab, this is {MODEL[:12]}" in told[1]


def test_a_channel_learns_anew_when_it_is_asked_and_stops_when_it_is_accepted(
    tmp_path: Path, calibration: Calibration
) -> None:
    Store(tmp_path / "state", lambda: 0.0).bring(FAN, save(tmp_path / "c.npz", calibration), ANNA)
    wish = Wish.checked(channels=["fan/*"], by="anna", reason="new bearing")

    async def story(daemon: Daemon) -> None:
        (fan,) = [channel for channel in daemon.ingest.channels.values() if channel.name == "fan/x"]
        before = fan.calibration
        assert before is not None
        before_it = fan.learning
        assert before_it is None
        outcome = await daemon.baselines.change(Action.LEARN, wish)
        assert list(outcome.changed) == ["fan/x"]
        while_it = fan.learning
        assert while_it is not None
        assert fan.calibration is before  # it goes on judging
        await daemon.baselines.change(Action.ACCEPT, wish)
        after_it = fan.learning
        assert after_it is None
        assert fan.calibration is before

    on_daemon(tmp_path, {}, story, more="learning: {enabled: true}\n")
