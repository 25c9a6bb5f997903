"""A new configuration, complete and checked, before any of it is used.

All that takes time or may fail happens here, on a thread beside the event loop; what is left to the daemon is to swap
the finished parts in. Does not handle: the swap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from monitor.config import Config
from monitor.config_file import read_config, with_state_directory
from monitor.core.messages.topics import TopicPattern
from monitor.errors import ConfigurationError
from monitor.runtime.certificates import certificate_expiries
from monitor.runtime.intake.direct_client import client_options
from monitor.runtime.lanes.calibrations import Calibrations
from monitor.runtime.lanes.loading import Lanes, LoadedLane
from monitor.runtime.preflight import preflight
from monitor.runtime.web import server

UNCHANGEABLE = ("http", "evidence", "state_dir")
"""Keys of the configuration that hold for a whole run."""


@dataclass(frozen=True)
class Prepared:
    """A configuration with everything that it needs in order to run."""

    config: Config
    """The configuration."""
    lanes: dict[str, LoadedLane]
    """Its lanes by model; those that it shares with the one that runs are the same objects."""
    calibrations: Calibrations
    """Its calibrations, those of the channels that there are already read."""
    certificates: dict[str, float]
    """When its certificates expire, UNIX seconds by file."""


def prepare(
    file: Path,
    running: Config,
    loader: Lanes,
    present: dict[str, LoadedLane],
    calibrations: Calibrations,
    channels: Iterable[tuple[str, str]],
) -> Prepared:
    """Read, check and load a configuration; on an error nothing of it is left running.

    Args:
        file: the configuration.
        running: the one that runs.
        loader: makes lanes.
        present: the lanes that run.
        calibrations: those in use.
        channels: topic and axis of the channels that there are.

    Raises:
        MonitorError: why it cannot run.
    """
    config = with_state_directory(read_config(file))
    for key in UNCHANGEABLE:
        if getattr(config, key) != getattr(running, key):
            raise ConfigurationError(f"{key}: cannot change while running; restart the service")
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
    """Check that all files which a configuration names can be used; returns when its certificates expire.

    Raises:
        ConfigurationError: which cannot.
    """
    if file is not None:
        preflight(config, file)
    client_options(config.mqtt)
    server.tls_context(config.http)
    return certificate_expiries(config)


def stop_new(lanes: dict[str, LoadedLane], present: dict[str, LoadedLane]) -> None:
    """End the workers of those ``lanes`` that are not ``present``."""
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
