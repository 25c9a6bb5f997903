"""Loads the models that a configuration names, and starts a lane for each.

A reload replaces a lane only when something it depends on changed. The other lanes keep their channels' samples,
contexts and alarms.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from monitor.config.configuration import Config
from monitor.config.sensors import Sensor
from monitor.core.learning.gather import Gathered
from monitor.core.scoring.alarm import Changes
from monitor.errors import MonitorError
from monitor.model.artefact.artefact import Artefact, load_artefact
from monitor.model.engines.engines import ON_GPU, EngineName, chosen, load_engine
from monitor.runtime.lanes.closed import Closed
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Batches, HeadBlocks
from monitor.runtime.lanes.workers import Inference, WorkerError
from monitor.runtime.models_in_use import model_in_use

LOG = logging.getLogger(__name__)

BLOCKS_A_WORKER = 64_000
"""Planned load of one worker in blocks a second, if there are enough cores; measured capacity is about twice that (two
cores of an EPYC). Lower: idle processes of 50 MB each. Higher: less headroom for other work on the machine."""


@dataclass(frozen=True)
class LaneKey:
    """Everything a lane depends on."""

    path: Path
    """The model's directory."""
    sha256: str
    """Hash of its manifest, and so of all its files."""
    engine: EngineName
    """Library that runs it."""
    shape: LaneShape
    """Rows, buffer, workers."""


@dataclass(frozen=True)
class ModelInfo:
    """Labels of ``vibration_model_info``."""

    model: str
    """Name in the configuration."""
    sha256: str
    """Hash of the model's manifest."""
    engine: str
    """Which engine runs it."""
    device: str
    """On what."""


@dataclass(frozen=True)
class LoadedLane:
    """A running lane."""

    key: LaneKey
    """What it depends on; a reload compares it."""
    info: ModelInfo
    """What the metrics report of its model."""
    inference: Inference
    """Its workers."""

    @property
    def lane(self) -> Lane:
        """The arrays that its workers share."""
        return self.inference.lane


class Lanes:
    """Starts lanes, which report changed alarm states, closed intervals and workers that failed."""

    def __init__(
        self,
        on_changes: Callable[[Lane, Changes], object],
        on_failure: Callable[[WorkerError], object],
        on_learning: Callable[[Gathered | HeadBlocks], None] = lambda _: None,
        on_closed: Callable[[Inference, Closed], object] = lambda _inference, _closed: None,
    ) -> None:
        self._on_changes = on_changes
        self._on_failure = on_failure
        self._on_learning = on_learning
        self._on_closed = on_closed

    def load(self, config: Config, config_file: Path | None, present: dict[str, LoadedLane]) -> dict[str, LoadedLane]:
        """The lanes of a configuration by model name; lanes of ``present`` stay where nothing changed.

        Raises:
            MonitorError: a model cannot be used, or its workers do not start; no new lane is left running.
        """
        batches = Batches(config.inference.max_batch, config.inference.max_delay)
        lanes: dict[str, LoadedLane] = {}
        new: dict[str, tuple[LaneKey, Artefact, Inference]] = {}
        try:
            for name in dict.fromkeys(sensor.model for sensor in config.sensors):
                artefact = load_artefact(model_in_use(config, name, config_file))
                key = lane_key(config, name, artefact)
                if name in present and present[name].key == key:
                    lanes[name] = present[name]
                    continue
                _warn_of_sensors([sensor for sensor in config.sensors if sensor.model == name], artefact)
                new[name] = key, artefact, self._start(key, artefact, batches)
            for name, (key, artefact, inference) in new.items():
                ready = inference.wait_until_ready()
                info = ModelInfo(name, artefact.sha256, ready.engine, ready.device)
                inference.lane.viewer = cache(partial(load_engine, artefact, "onnxruntime"))
                lanes[name] = LoadedLane(key, info, inference)
        except BaseException:
            for _, _, inference in new.values():
                inference.stop()
            raise
        return lanes

    def _start(self, key: LaneKey, artefact: Artefact, batches: Batches) -> Inference:
        try:
            return Inference(
                key.shape,
                artefact,
                key.engine,
                batches,
                on_changes=self._on_changes,
                on_failure=self._on_failure,
                on_learning=self._on_learning,
                on_closed=self._on_closed,
            )
        except (OSError, RuntimeError) as error:
            raise MonitorError(f"models.{key.shape.name}: cannot start a worker process: {error}") from error


def _warn_of_sensors(sensors: Iterable[Sensor], artefact: Artefact) -> None:
    for sensor in sensors:
        who = f"sensor {sensor.topic}"
        if "unit" not in sensor.model_fields_set:
            LOG.warning("%s: no unit is given, so samples are taken as m/s2", who)
        if warning := artefact.manifest.untrained_rate(sensor.sampling_rate_hz, who):
            LOG.warning("%s", warning)


def lane_key(config: Config, name: str, artefact: Artefact) -> LaneKey:
    """Everything that the lane of model ``name`` depends on."""
    settings, network = config.inference, artefact.manifest.shape
    engine = chosen(settings.engine)
    fastest_hz = max(sensor.sampling_rate_hz for sensor in config.sensors if sensor.model == name)
    blocks_per_s = config.limits.channels * fastest_hz / network.block_samples
    workers = settings.workers or min(len(os.sched_getaffinity(0)), math.ceil(blocks_per_s / BLOCKS_A_WORKER))
    return LaneKey(
        artefact.path,
        artefact.sha256,
        engine,
        LaneShape(
            name,
            config.limits.channels,
            network.block_samples,
            network.window_blocks,
            max(math.ceil(config.limits.buffer * fastest_hz / network.block_samples), 2 * network.window_blocks),
            artefact.manifest.scaling.time_constant_blocks,
            settings.mode,
            # One process per GPU: each further one would hold its own copy of the network and its state there.
            1 if engine in ON_GPU else min(workers, config.limits.channels),
        ),
    )
