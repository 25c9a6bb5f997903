"""Velocity, zones and the usual figures, from messages over a real broker to metrics and page."""

import json
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.diagnosis.figures import usual_figures, velocity_rms
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from tests.support.daemons import running_daemon
from tests.support.recordings import recording_file
from tests.support.servers import get, mosquitto, publish, wait_for

pytestmark = pytest.mark.system

RATE = 12000
SENSORS = """
sensors:
  - {topic: 'plant/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 12000,
     machine: {zones: {b: 2.3, c: 4.5, d: 7.1}}}
  - {topic: 'slow/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 150}
  - {topic: 'bursts/{machine}/{axis}', payload: {format: json}, sampling_rate_hz: 12000}
limits: {buffer: 10s}
"""


def sine(frequency_hz: float, velocity_mmps: float) -> Float32:
    """Six seconds with this velocity RMS, on an offset of 100 times the amplitude, as a float32 sensor sends them."""
    amplitude = velocity_mmps / 1000 * np.sqrt(2) * 2 * np.pi * frequency_hz
    wave = np.sin(2 * np.pi * frequency_hz * np.arange(6 * RATE) / RATE)
    return np.asarray(amplitude * (wave + 100), np.float32)


def messages(topic: str, samples: Float32) -> list[tuple[str, bytes]]:
    return [(topic, part.astype("<f4").tobytes()) for part in np.array_split(samples, 8)]


def test_sines_a_recording_and_what_has_no_velocity(tmp_path: Path) -> None:
    # Two seconds again and again: whichever two seconds are measured, they have the same spectrum.
    (samples,) = open_recording(
        f"{recording_file('cwru/IR021_0.mat')}#X209_DE_time", RecordingOptions(sampling_rate_hz=RATE)
    ).load()
    piece = samples[: 2 * RATE]
    sines = {"a": (10.0, 1.0), "b": (47.3, 3.0), "c": (300.0, 5.0), "d": (1000.0, 9.0)}
    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker, SENSORS) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        for name, (frequency_hz, velocity_mmps) in sines.items():
            publish(broker, messages(f"plant/{name}/x", sine(frequency_hz, velocity_mmps)))
        publish(broker, messages("plant/recording/x", np.tile(piece, 3)))
        rng = np.random.default_rng(1)
        bursts = rng.normal(size=(12, 6000)).round(3).tolist()
        publish(
            broker,
            [
                ("bursts/short/x", json.dumps({"samples": burst, "seq": 100_000 * (i + 1)}).encode())
                for i, burst in enumerate(bursts)
            ],
        )
        slow = [("slow/rate/x", part.astype("<f4").tobytes()) for part in rng.normal(size=(30, 100))]

        def seven_records() -> bool:
            if slow:  # a channel gets a turn at what comes a tenth of a second after its first block
                publish(broker, [slow.pop(0)])
            return len(daemon.values("vibration_kurtosis")) == 7

        wait_for(seven_records, "a record of each channel")
        for (name, (_, velocity_mmps)), zone in zip(sines.items(), range(4), strict=True):
            assert daemon.value("vibration_velocity_rms", machine=name) == pytest.approx(velocity_mmps / 1000, rel=0.01)
            assert daemon.values("vibration_velocity_zone", machine=name) == [zone]
            assert daemon.value("vibration_crest_factor", machine=name) == pytest.approx(np.sqrt(2), rel=0.01)
        figures = usual_figures(piece)
        found = {
            "vibration_velocity_rms": velocity_rms(piece, RATE),
            "vibration_crest_factor": figures.crest_factor,
            "vibration_kurtosis": figures.kurtosis,
            "vibration_acceleration_peak_to_peak": figures.peak_to_peak,
        }
        for metric, value in found.items():
            assert daemon.value(metric, machine="recording") == pytest.approx(value, rel=1e-4), metric
        # No velocity, no zone; the page says why.
        assert len(daemon.values("vibration_velocity_rms")) == len(daemon.values("vibration_velocity_zone")) == 5

        def channels() -> dict[str, dict[str, object]]:
            return {one["name"]: one for one in json.loads(get(f"{daemon.address}/api/v1/channels"))["channels"]}

        def reasons() -> dict[str, object]:
            return {name: one["velocity_refusal"] for name, one in channels().items() if one["velocity_rms"] is None}

        wait_for(lambda: set(reasons()) == {"rate/x", "short/x"} and all(reasons().values()), "the rows of the page")
        assert "the sampling rate is 150 Hz" in str(reasons()["rate/x"])
        assert "needs 2 s without a break, but the record has 0.5 s" in str(reasons()["short/x"])
        assert channels()["d/x"]["zone"] == 3
