"""Machines that send to a real broker, one for each thing that alerts about channels are for.

All are copies of one simulated fan, so that one calibration serves them all.
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.core.arrays import Float32
from monitor.core.messages.encode import packed_samples
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.model.engines.engines import load_engine
from monitor.offline.calibration_run import calibrate_channels, cut
from monitor.recording.conditions import Conditions
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from monitor.shipped import shipped
from monitor.simulation.machine import Fault, FaultKind, catalogue, measuring_point
from monitor.simulation.simulator import Simulation

RATE_HZ = 12000
MESSAGE_S = 0.1
INTERVAL_S = 0.2
HEALTHY_S = 40
SPEED_RPM = 1480.0
MODEL = "models/demo"

CONFIGURATION = """\
models: {{default: models/demo}}
sensors:
  - {{topic: 'plant/{{machine}}/{{sensor}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 12000,
     calibration: '{folder}/fan.calibration'}}
  - {{topic: 'gateway/{{machine}}/{{sensor}}/{{axis}}', payload: {{format: json}}, sampling_rate_hz: 12000,
     calibration: '{folder}/fan.calibration'}}
  - {{topic: 'slow/{{machine}}/{{sensor}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 10000,
     calibration: '{folder}/fan.calibration'}}
  - {{topic: 'driven/{{machine}}/{{sensor}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 12000,
     calibration: '{folder}/fan.calibration',
     conditions: {{speed_rpm: {{topic: 'driven/{{machine}}/speed', payload: {{format: number}}}}}}}}
  - {{topic: 'zoned/{{machine}}/{{sensor}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 12000,
     calibration: '{folder}/fan.calibration', machine: {{zones: {{b: 0.001, c: 0.002, d: 0.003}}}}}}
  - {{topic: 'bare/{{machine}}/{{sensor}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 12000}}
scoring: {{silent_after: 2s}}
limits: {{channels: 32, buffer: 10s}}
evidence: {{before: 100ms, after: 100ms}}
state_dir: '{folder}/state'
"""


def simulation(seed: int, *faults: Fault) -> Simulation:
    """The fan's drive end, on another day for each seed."""
    return Simulation(measuring_point(catalogue()["fan"], 0), RATE_HZ, seed, faults)


def calibrate_fan(folder: Path) -> None:
    """Write ``fan.calibration``, learned at a given speed."""
    artefact = load_artefact(shipped(MODEL))
    engine = load_engine(artefact, "onnxruntime")
    file = folder / "healthy.npz"
    write_recording(file, simulation(11).next(HEALTHY_S * RATE_HZ), RATE_HZ, "m/s2")
    recordings = [open_recording(str(file))]
    how = cut(recordings, INTERVAL_S, artefact.manifest.warmup_blocks, engine.block_samples)
    speed = [[Conditions({"speed_rpm": SPEED_RPM})]]
    level_blocks = artefact.manifest.scaling.time_constant_blocks
    (calibration,) = calibrate_channels(engine, level_blocks, [recordings], how, conditions=speed)
    made = {"healthy_s": float(HEALTHY_S)}
    path = folder / "fan.calibration"
    save_calibrations(path, {ANY_REGIME: calibration}, model_sha256=artefact.sha256, channel="fan", made=made)


class Machine:
    """One channel: a fan on a day of its own, which is as damaged as a test says."""

    def __init__(
        self,
        topic: str,
        seed: int,
        encode: Callable[[Float32, int], bytes | None] = lambda samples, _: packed_samples(samples),
        *,
        damage: float = 0.0,
        sends: bool = True,
        speed_rpm: float | None = None,
        kind: FaultKind = FaultKind.OUTER_RACE,
    ) -> None:
        """Make one that sends to ``topic``; ``encode`` makes a payload of samples and the message's number."""
        self.topic = topic
        self.speed_rpm = speed_rpm
        """What its drive says of its speed; None: it says nothing."""
        self.damage = damage
        """Size of its fault, 0 to 1: the impacts of a spalled outer race, or what ``kind`` says."""
        self.sends = sends
        self._encode = encode
        self._healthy = simulation(seed)
        # The same day with a fault: the difference of the two is what the fault adds.
        self._damaged = simulation(seed, Fault(kind, 0.0, 0.0, 8.0))

    def message(self, number: int) -> bytes | None:
        """The next payload; None: it gets lost on the way, or the machine does not send."""
        count = round(RATE_HZ * MESSAGE_S)
        healthy, damaged = self._healthy.next(count), self._damaged.next(count)
        payload = self._encode(healthy + np.float32(self.damage) * (damaged - healthy), number)
        return payload if self.sends else None


def _numbered_with_losses(samples: Float32, number: int) -> bytes | None:
    """JSON with sequence numbers; one message of six never arrives."""
    return None if number % 6 == 5 else json.dumps({"samples": samples.round(3).tolist(), "seq": number}).encode()


def machines() -> dict[str, Machine]:
    """All of them by the value of their label ``machine``."""
    return {
        "healthy": Machine("plant/healthy/de/x", 1),
        "failing": Machine("plant/failing/de/x", 2),
        "torn": Machine("plant/torn/de/x", 3, damage=1.0),
        "silent": Machine("plant/silent/de/x", 4),
        "clipped": Machine("plant/clipped/de/x", 5, lambda samples, _: packed_samples(samples.clip(-0.4, 0.4))),
        "counts": Machine("plant/counts/de/x", 6, lambda samples, _: packed_samples(samples * 10_000)),
        "slow": Machine("slow/slow/de/x", 7),
        "lossy": Machine("gateway/lossy/de/x", 8, _numbered_with_losses),
        "fast": Machine("driven/fast/de/x", 13, speed_rpm=1.3 * SPEED_RPM),
        "driven": Machine("driven/driven/de/x", 14, speed_rpm=SPEED_RPM),
        "shaking": Machine("zoned/shaking/de/x", 15),
        "bare": Machine("bare/bare/de/x", 9),
        "late": Machine("plant/late/de/x", 10, damage=1.0, sends=False),
        # Not a channel: what it sends cannot be read.
        "garbled": Machine("plant/garbled/de/x", 12, lambda *_: b"\x00" * 7, sends=False),
    }


class Feed:
    """Sends what the machines measure, in real time, through any restart of the broker."""

    def __init__(self, port: int, channels: dict[str, Machine]) -> None:
        self._channels = channels
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.max_queued_messages_set(1)
        self._client.connect("127.0.0.1", port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        began_s, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, began_s + number * MESSAGE_S - time.monotonic())):
            for channel in self._channels.values():
                payload = channel.message(number)
                if payload is not None and self._client.is_connected():
                    self._client.publish(channel.topic, payload)
                    if channel.speed_rpm is not None and number % 10 == 0:
                        self._client.publish(f"{channel.topic.rsplit('/', 2)[0]}/speed", str(channel.speed_rpm))
            number += 1
