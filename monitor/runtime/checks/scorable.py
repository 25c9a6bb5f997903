"""What of a configuration can be scored: the calibrations that its channels will find, and what stands in the way.

The daemon goes on without a calibration, so a configuration without problems may score nothing. Does not handle:
channels that nobody expects, which come into being with their first message.
"""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.config.configuration import Config
from monitor.config.file import resolve
from monitor.config.sensors import SPEED, Sensor
from monitor.core.messages.topics import TopicPattern
from monitor.core.units import same_rate
from monitor.errors import ArtefactError
from monitor.extras import installed, missing
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import load_calibrations
from monitor.runtime.models_in_use import model_in_use


@dataclass(frozen=True)
class SensorOutlook:
    """What one entry of ``sensors`` can be scored with."""

    topic: str
    """Its topic pattern."""
    found: tuple[str, ...]
    """Calibration files that fit its model and its rate."""
    missing: tuple[str, ...]
    """Calibration files that are named, by ``expect`` or without labels, and do not exist."""
    unusable: dict[str, str]
    """The reason why each of the other files cannot be used."""
    named: bool
    """Whether it names calibrations at all."""
    learns: bool = False
    """Whether its channels learn."""

    def lines(self) -> Iterator[str]:
        """What a user should read."""
        if not self.named:
            yield (
                "learns what is healthy" if self.learns else "no calibration is named: gaps, but no score and no alarm"
            )
            return
        yield f"{len(self.found)} calibration{'s' if len(self.found) != 1 else ''} found" + (
            "" if self.found or self.missing or self.unusable else ": no score and no alarm until there is one"
        )
        yield from (f"missing: {file}" for file in self.missing)
        yield from self.unusable.values()


def outlook(config: Config, config_file: Path) -> list[SensorOutlook]:
    """What each sensor can be scored with.

    Raises:
        ArtefactError: a model cannot be used.
    """
    hashes = model_hashes(config, config_file)
    return [
        SensorOutlook(sensor.topic, (), (), {}, named=False, learns=config.learning.enabled)
        if sensor.calibration is None
        else _of_sensor(sensor, sensor.calibration, hashes[sensor.model], config_file)
        for sensor in config.sensors
    ]


def model_hashes(config: Config, config_file: Path) -> dict[str, str]:
    """The hash of each model by its name in the configuration.

    Raises:
        ArtefactError: a model cannot be used.
    """
    return {name: load_artefact(model_in_use(config, name, config_file)).sha256 for name in config.models}


def doubts(config: Config) -> Iterator[str]:
    """What is probably not meant, and what is not installed; one sentence each."""
    for i, sensor in enumerate(config.sensors):
        if "unit" not in sensor.model_fields_set:
            yield f"sensors[{i}].unit: is not given, so samples are taken as m/s2; write unit: g if they are in g"
        if sensor.machine.has_orders and sensor.machine.speed_rpm is None and SPEED not in sensor.conditions:
            yield (
                f"sensors[{i}].machine: without the speed of the shaft no bearing or gear is named; give speed_rpm, or "
                f"conditions.{SPEED}"
            )
    if config.learning.enabled and config.state_dir is None and not os.environ.get("STATE_DIRECTORY"):
        yield "state_dir: is not given, and learning needs it; name a folder, unless systemd sets it for the service"
    engine = config.inference.engine
    if engine in {"tensorflow", "jax"} and not installed(engine):
        yield missing(engine, f"inference.engine: {engine}")
    if config.learning.model == "own" and config.learning.enabled and not installed("tensorflow"):
        yield missing("tensorflow", "learning.model: own: the configured model is used; to train the plant's own")
    if config.evidence.enabled and config.state_dir and not installed("matplotlib"):
        yield missing("matplotlib", "evidence: samples around alarms are kept, but a figure of them")


def _of_sensor(sensor: Sensor, calibration: str, model_sha256: str, config_file: Path) -> SensorOutlook:
    wanted = {str(resolve(name, config_file)) for name in _expected(sensor, calibration)}
    there = set(glob.glob(str(resolve(_globbed(sensor, calibration), config_file))))  # noqa: PTH207 - a full path
    found, unusable = [], {}
    for file in sorted(there):
        if why := _why_unusable(Path(file), model_sha256, sensor.sampling_rate_hz):
            unusable[file] = why
        else:
            found.append(file)
    return SensorOutlook(sensor.topic, tuple(found), tuple(sorted(wanted - there)), unusable, named=True)


def _why_unusable(file: Path, model_sha256: str, rate_hz: float) -> str:
    """The reason why a calibration file cannot be used; empty if it can."""
    try:
        calibrations = load_calibrations(file)
        calibrations.check(model_sha256)
    except ArtefactError as error:
        return str(error)
    rates = [each.sampling_rate_hz for each in calibrations.regimes.values()]
    if not all(same_rate(rate_hz, found) for found in rates):
        return f"{file}: was made at {rates[0]:g} Hz, the sensor has {rate_hz:g} Hz; calibrate again"
    return ""


def _expected(sensor: Sensor, name: str) -> Iterator[str]:
    """The file names that must exist: those of expected channels, or the only one."""
    if "{" not in name:
        yield name
        return
    for labels in sensor.expect:
        yield sensor.calibration_of({"axis": "", **sensor.labels, **labels}) or name


def _globbed(sensor: Sensor, name: str) -> str:
    """A file name with ``*`` for every label that the topic gives."""
    varies = {*TopicPattern.parse(sensor.topic).names, "axis"} - sensor.labels.keys()
    parts = re.split(r"\{([^}]*)\}", name)
    texts = (
        glob.escape(part) if not number % 2 else "*" if part in varies else glob.escape(sensor.labels[part])
        for number, part in enumerate(parts)
    )
    return "".join(texts)
