"""Prepares a new configuration completely before any of it is used.

Everything slow, and everything that may fail, happens here, on a thread beside the event loop. The daemon then only
swaps the finished parts in. Does not handle: the swap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from monitor.config import Config
from monitor.config_file import read_config, with_own_place
from monitor.core.messages.topics import TopicPattern
from monitor.errors import ConfigurationError
from monitor.runtime.baselines.calibrations import Calibrations
from monitor.runtime.certificates import certificate_expiries, server_context
from monitor.runtime.intake.direct_client import client_options
from monitor.runtime.lanes.loading import Lanes, LoadedLane
from monitor.runtime.preflight import preflight

UNCHANGEABLE = ("http", "evidence", "state_dir")
"""Keys of the configuration that a reload cannot change."""


@dataclass(frozen=True)
class Prepared:
    """A configuration with everything that it needs to run."""

    config: Config
    """The new configuration."""
    lanes: dict[str, LoadedLane]
    """Its lanes by model; lanes that did not change are the running objects."""
    calibrations: Calibrations
    """Its calibrations; those of the present channels are already read."""
    certificates: dict[str, float]
    """Expiry of its certificates, UNIX seconds by file."""


def prepare(
    file: Path,
    running: Config,
    loader: Lanes,
    present: dict[str, LoadedLane],
    calibrations: Calibrations,
    channels: Iterable[tuple[str, str]],
) -> Prepared:
    """Read, check and load a configuration; on an error no new lane is left running.

    Args:
        file: the configuration file.
        running: the running configuration.
        loader: starts lanes.
        present: the running lanes by model.
        calibrations: the calibrations in use.
        channels: topic and axis of the present channels.

    Raises:
        MonitorError: why the configuration cannot run.
    """
    config = with_own_place(read_config(file), file)
    for key in UNCHANGEABLE:
        if getattr(config, key) != getattr(running, key):
            raise ConfigurationError(f"{key}: cannot be changed by a reload; restart the service")
    certificates = check_files(config, file)
    lanes = loader.load(config, file, present)
    try:
        fresh = calibrations.renewed()
        _read_calibrations(fresh, config, lanes, channels)
    except BaseException:
        stop_new(lanes, present)
        raise
    return Prepared(config, lanes, fresh, certificates)


def check_files(config: Config, file: Path | None) -> dict[str, float]:
    """Check that all files which a configuration names are usable; returns when its certificates expire.

    Raises:
        ConfigurationError: a file is not usable.
    """
    if config.learning.enabled and config.state_dir is None:
        raise ConfigurationError("learning.enabled: needs a state_dir, where what was learned is kept; name one")
    if file is not None:
        preflight(config, file)
    if config.kafka is None:
        client_options(config.mqtt)
    server_context(config.http)
    return certificate_expiries(config)


def stop_new(lanes: dict[str, LoadedLane], present: dict[str, LoadedLane]) -> None:
    """Stop the workers of the ``lanes`` that are not ``present``."""
    for name, loaded in lanes.items():
        if present.get(name) is not loaded:
            loaded.inference.stop()


def _read_calibrations(
    calibrations: Calibrations, config: Config, lanes: dict[str, LoadedLane], channels: Iterable[tuple[str, str]]
) -> None:
    patterns = [(TopicPattern.parse(sensor.topic), sensor) for sensor in config.sensors]
    for topic, axis in channels:
        for pattern, sensor in patterns:
            labels = pattern.match(topic)
            if labels is not None:
                names = {"axis": axis, **labels, **sensor.labels}
                calibrations.of(sensor, names, lanes[sensor.model].info.sha256)
                break
