"""From a model's name in the configuration to a lane that runs it.

A lane is made anew only when something it depends on changed, so a reload that leaves a model alone leaves its
channels' samples, contexts and alarms alone. Refuses to know: channels, the broker.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from monitor.config import Config
from monitor.config_file import resolve
from monitor.model.artefact import load_artefact
from monitor.model.engines import load_engine
from monitor.runtime.families import ModelInfo
from monitor.runtime.inference import Lane, make_lane


@dataclass(frozen=True)
class LaneKey:
    """Everything a lane depends on."""

    path: Path
    """The model's directory."""
    sha256: str
    """Hash of its manifest, and so of all its files."""
    engine: str
    """The engine asked for."""
    mode: str
    """``carried`` or ``windowed``."""
    threads: int
    """Threads asked for."""
    channels: int
    """Rows."""
    capacity_s: float
    """Length of the buffer."""
    fastest_hz: float
    """Highest rate among its sensors."""


@dataclass(frozen=True)
class LoadedLane:
    """A lane with what it was made from."""

    key: LaneKey
    """What it depends on."""
    lane: Lane
    """The lane."""
    info: ModelInfo
    """What the metrics say of it."""


def load_lanes(config: Config, config_file: Path | None, present: dict[str, LoadedLane]) -> dict[str, LoadedLane]:
    """The lanes of a configuration by model name; those of ``present`` are kept where nothing changed.

    Raises:
        ArtefactError: a model cannot be used.
    """
    lanes = {}
    for name in dict.fromkeys(sensor.model for sensor in config.sensors):
        artefact = load_artefact(resolve(config.models[name], config_file))
        settings = config.inference
        key = LaneKey(
            artefact.path,
            artefact.sha256,
            settings.engine,
            settings.mode,
            settings.threads,
            config.limits.channels,
            config.limits.buffer,
            max(sensor.sampling_rate_hz for sensor in config.sensors if sensor.model == name),
        )
        if name in present and present[name].key == key:
            lanes[name] = present[name]
            continue
        engine = load_engine(artefact, settings.engine, threads=settings.threads)
        blocks = math.ceil(key.capacity_s * key.fastest_hz / engine.block_samples)
        lane = make_lane(
            name,
            engine,
            key.channels,
            capacity_blocks=max(blocks, 2 * engine.window_blocks),
            level_blocks=artefact.manifest.scaling.time_constant_blocks,
            mode=settings.mode,
        )
        if config.http.page:
            lane.viewer = load_engine(artefact, "onnxruntime", threads=1)
        lanes[name] = LoadedLane(key, lane, ModelInfo(name, artefact.sha256, engine.name, engine.device))
    return lanes
