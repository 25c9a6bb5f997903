"""Offsets, spikes, and samples that no machine can have made: none of them moves a figure or raises an alarm."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest

from monitor.core.arrays import Float32, Numbers
from monitor.recording.write import write_recording
from monitor.shipped import shipped
from tests.support.commands import document, output
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import mosquitto, wait_for

MODEL = shipped("models/demo")
RATE_HZ = 12000
SECONDS = 6
FORMATS = {"float32": "float32", "float64": "float64", "int16": "int16", "bare": "int16", "spiky": "float32"}
"""What is configured for each machine; all but ``bare`` have a calibration."""


def configured(calibration: Path) -> str:
    """The configuration of the machines."""
    sensors = [
        f"- {{topic: plant/{machine}/x, labels: {{machine: {machine}}}, payload: {{format: {kind}}}, "
        f"sampling_rate_hz: {RATE_HZ}" + ("}" if machine == "bare" else f", calibration: {calibration}}}")
        for machine, kind in FORMATS.items()
    ]
    return "\n".join(["models: {default: models/demo}", "limits: {buffer: 30s}", "sensors:", *sensors, ""])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a calibration of a healthy machine, and more healthy signal of it."""
    made = tmp_path_factory.mktemp("levels")
    output("simulate", "--out", made / "healthy.npz", "--duration", "12s", "--seed", "1")
    output("simulate", "--out", made / "new.npz", "--duration", f"{SECONDS}s", "--seed", "2")
    output("calibrate", MODEL, made / "healthy.npz", "--out", made / "fan.calibration")
    return made


@pytest.fixture(scope="module")
def healthy(folder: Path) -> Float32:
    with np.load(folder / "new.npz") as stored:
        samples: Float32 = stored["acceleration"].astype(np.float32)
    return samples


def backtest(folder: Path, samples: Float32, unit: str | None = "m/s2", *, calibrated: bool = True) -> Any:
    write_recording(folder / "changed.npz", samples, RATE_HZ, unit)
    calibration = ("--calibration", folder / "fan.calibration") if calibrated else ()
    return document("backtest", MODEL, folder / "changed.npz", *calibration)["channels"][0]


@pytest.mark.parametrize("offset", [9.80665, 980.665])
def test_an_offset_changes_no_figure(folder: Path, healthy: Float32, offset: float) -> None:
    quiet = healthy * np.float32(0.005 / healthy.std())
    plain = backtest(folder, quiet, calibrated=False)["gap_ratio"]["median"]
    assert backtest(folder, quiet + np.float32(offset), calibrated=False)["gap_ratio"]["median"] == pytest.approx(
        plain, rel=0.002
    )


def test_one_spike_costs_two_blocks(folder: Path, healthy: Float32) -> None:
    clean = backtest(folder, healthy)
    spoiled = healthy.copy()
    spoiled[3 * RATE_HZ] = 1e5
    found = backtest(folder, spoiled)
    assert found["blocks_skipped"] == {"warm_up": 25, "spike": 2}  # its own, and the one that is forecast from it
    assert found["blocks_scored"] == clean["blocks_scored"] - 2
    assert found["alarms"] == []
    assert found["score"]["max"] < 1.0
    assert found["gap_ratio"]["median"] == pytest.approx(clean["gap_ratio"]["median"], rel=0.02)


@pytest.mark.parametrize("at", [0, 2450])
def test_a_spike_at_the_start_or_in_the_warm_up_is_no_alarm_either(folder: Path, healthy: Float32, at: int) -> None:
    spoiled = healthy.copy()
    spoiled[at] = -1e5
    found = backtest(folder, spoiled)
    assert found["alarms"] == []
    assert found["score"]["max"] < 1.0


def test_a_shock_that_goes_on_is_an_alarm(folder: Path, healthy: Float32) -> None:
    shaken = healthy.copy()
    shaken[2 * RATE_HZ :] *= 300
    found = backtest(folder, shaken)
    assert found["alarms"]
    assert found["first_alarm_s"] < 5.5
    assert found["blocks_skipped"]["spike"] <= 3


@pytest.mark.parametrize("calibrated", [True, False])
def test_an_implausible_level_is_refused_with_and_without_calibration(
    folder: Path, healthy: Float32, *, calibrated: bool
) -> None:
    found = backtest(folder, healthy * 3000, calibrated=calibrated)
    assert found["blocks_skipped"]["implausible_level"] == found["intervals"] * 120
    assert found["alarms"] == []


def test_samples_in_an_unknown_unit_are_never_implausible(folder: Path, healthy: Float32) -> None:
    assert "implausible_level" not in backtest(folder, healthy * 3000, None, calibrated=False)["blocks_skipped"]


def packed(samples: Numbers, dtype: str) -> list[bytes]:
    """A second of the signal a message."""
    return [samples[at : at + RATE_HZ].astype(dtype).tobytes() for at in range(0, samples.size, RATE_HZ)]


@pytest.fixture(scope="module")
def plant(folder: Path, healthy: Float32) -> Iterator[RunningDaemon]:
    """A daemon that was sent the wrong format on every topic, and the right one with a spike on the last."""
    spoiled = healthy.copy()
    spoiled[3 * RATE_HZ] = 1e5
    counts = np.clip(healthy * 1000, -32768, 32767)
    sent = [
        ("plant/float32/x", packed(healthy, "<f8")),
        ("plant/float32/x", packed(counts, "<i2")),
        ("plant/float64/x", packed(counts, "<i2")),
        ("plant/int16/x", packed(healthy, "<f4")),
        ("plant/bare/x", packed(healthy, "<f4")),
        ("plant/spiky/x", packed(spoiled, "<f4")),
    ]
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        daemon = stack.enter_context(running_daemon(folder, broker, configured(folder / "fan.calibration")))
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")

        async def publish() -> None:
            async with aiomqtt.Client("127.0.0.1", broker) as client:
                for second in range(SECONDS):
                    for topic, messages in sent:
                        await client.publish(topic, messages[second], qos=1)

        asyncio.run(publish())
        yield daemon


def skipped(daemon: RunningDaemon, machine: str, reason: str) -> float:
    return daemon.value("vibration_blocks_skipped_total", machine=machine, reason=reason)


@pytest.mark.system
def test_float_payloads_of_another_format_are_rejected(plant: RunningDaemon) -> None:
    wait_for(
        lambda: plant.value("vibration_messages_rejected_total", reason="non_finite") == 3 * SECONDS, "the rejections"
    )
    assert plant.values("vibration_alarm_state", machine="float32") == []


@pytest.mark.system
@pytest.mark.parametrize("machine", ["int16", "bare"])
def test_int16_that_is_float32_is_an_implausible_level_and_no_alarm(plant: RunningDaemon, machine: str) -> None:
    wait_for(lambda: skipped(plant, machine, "implausible_level") >= 10, "the refusals")
    assert plant.value("vibration_alarm_state", machine=machine) == 0
    assert plant.values("vibration_anomaly_score", machine=machine) == []
    assert plant.value("vibration_acceleration_rms", machine=machine) > 1000


@pytest.mark.system
def test_the_daemon_leaves_out_one_spike(plant: RunningDaemon) -> None:
    blocks = SECONDS * RATE_HZ // 100
    wait_for(lambda: plant.value("vibration_blocks_scored_total", machine="spiky") == blocks - 27, "all blocks")
    assert skipped(plant, "spiky", "spike") == 2
    assert skipped(plant, "spiky", "warm_up") == 25
    assert plant.value("vibration_alarm_state", machine="spiky") == 0
