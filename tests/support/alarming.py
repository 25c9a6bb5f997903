"""A channel that goes into alarm within a second: calibrated on noise, and then louder."""

import asyncio
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import aiomqtt
import numpy as np

from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.model.engines.engines import load_engine
from monitor.offline.calibration_run import calibrate_channels, cut
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from monitor.shipped import shipped
from tests.support.daemons import SENSOR
from tests.support.servers import publish, wait_for

RATE_HZ = 12000
MODEL = "models/demo"


def noise(seconds: float, seed: int, level: float = 1.0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    samples = level * np.random.default_rng(seed).normal(size=round(seconds * RATE_HZ))
    return samples.astype(np.float32)


@cache
def _calibration_file(seed: int) -> bytes:
    artefact = load_artefact(shipped(MODEL))
    engine = load_engine(artefact, "onnxruntime")
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_recording(folder / "healthy.npz", noise(30, seed), RATE_HZ, "m/s2")
        recordings = [[open_recording(str(folder / "healthy.npz"))]]
        how = cut(recordings[0], 0.1, artefact.manifest.warmup_blocks, engine.block_samples)
        [made] = calibrate_channels(engine, artefact.manifest.scaling.time_constant_blocks, recordings, how)
        file = folder / "calibration"
        save_calibrations(file, {ANY_REGIME: made}, model_sha256=artefact.sha256, channel="fan/x", made={})
        return file.read_bytes()


def calibrated(folder: Path, seed: int = 1) -> str:
    """Calibrate noise with intervals of 0.1 s; returns configuration that uses it for ``plant/{machine}/{axis}``."""
    file = folder / "any.calibration"
    file.write_bytes(_calibration_file(seed))
    sensor = {**SENSOR, "sampling_rate_hz": RATE_HZ, "calibration": str(file)}
    return (
        f"sensors: [{sensor}]\nmodels: {{default: {MODEL}}}\nlimits: {{buffer: 10s}}\nstate_dir: {folder / 'state'}\n"
    )


def send(port: int, machine: str, *signals: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    """Signals of a machine, one after the other, in messages of half a second."""
    samples = np.concatenate(signals)
    pieces = np.array_split(samples, max(1, samples.size // (RATE_HZ // 2)))
    publish(port, [(f"plant/{machine}/x", piece.astype("<f4").tobytes()) for piece in pieces])


def raise_alarm(port: int, machine: str) -> None:
    """Healthy noise, then a level that is twelve times as high."""
    send(port, machine, noise(2, 2), noise(2, 3, 12.0))


def retained(port: int, pattern: str, count: int = 1) -> dict[str, bytes]:
    """The retained messages of a pattern, once there are ``count`` of them."""
    seen: dict[str, bytes] = {}

    async def story() -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe(pattern)
            async with asyncio.timeout(20):
                async for message in client.messages:
                    seen[str(message.topic)] = bytes(message.payload)
                    if len(seen) >= count:
                        return

    asyncio.run(story())
    return seen


def retained_state(port: int, topic: str) -> str:
    """The alarm state that the retained event of a channel says."""
    state: str = json.loads(retained(port, topic)[topic])["state"]
    return state


def wait_for_retained_state(port: int, topic: str, state: str) -> None:
    wait_for(lambda: retained_state(port, topic) == state, f"the retained event to say {state}")
