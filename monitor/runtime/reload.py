"""Prepares a new configuration completely before any of it is used.

Everything slow, and everything that may fail, happens here, on a thread beside the event loop. The daemon then only
swaps the finished parts in. Does not handle: the swap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext

from monitor.config.configuration import Config
from monitor.config.file import read_config, with_own_place
from monitor.core.messages.topics import TopicPattern
from monitor.errors import ConfigurationError, MonitorError
from monitor.runtime.baselines.calibrations import Calibrations
from monitor.runtime.checks.preflight import preflight
from monitor.runtime.credentials.certificates import certificate_expiries, load_server_certificate, server_context
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.mqtt.direct_client import client_options
from monitor.runtime.lanes.loading import Lanes, LoadedLane

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


@dataclass(frozen=True)
class Running:
    """What runs while a configuration is prepared."""

    loader: Lanes
    """Starts lanes."""
    lanes: dict[str, LoadedLane]
    """The running lanes by model."""
    calibrations: Calibrations
    """The calibrations in use."""
    channels: list[Channel]
    """The present channels."""


def prepare(file: Path, config: Config, running: Running) -> Prepared:
    """Read, check and load a configuration file that is to follow a ``config``; see :func:`load`.

    Raises:
        MonitorError: why it cannot run.
    """
    fresh = with_own_place(read_config(file), file)
    for key in UNCHANGEABLE:
        if getattr(fresh, key) != getattr(config, key):
            raise ConfigurationError(f"{key}: cannot be changed by a reload; restart the service")
    return load(fresh, file, running)


def load(config: Config, file: Path | None, running: Running) -> Prepared:
    """Check and load a configuration; on an error no new lane is left running.

    Args:
        config: the configuration.
        file: the file that it is from; None: there is none.
        running: what runs meanwhile.

    Raises:
        MonitorError: why the configuration cannot run.
    """
    certificates = check_files(config, file)
    lanes = running.loader.load(config, file, running.lanes)
    try:
        fresh = running.calibrations.renewed()
        _read_calibrations(fresh, config, lanes, running.channels)
    except BaseException:
        stop_new(lanes, running.lanes)
        raise
    return Prepared(config, lanes, fresh, certificates)


def renew_certificate(tls: SSLContext | None, prepared: Prepared, present: dict[str, LoadedLane]) -> None:
    """Load the HTTP server's certificate, which may have been renewed in place; on the event loop, which uses it.

    Raises:
        ConfigurationError: it cannot be used; no new lane is left running.
    """
    if tls is not None:
        try:
            load_server_certificate(tls, prepared.config.http)
        except MonitorError:
            stop_new(prepared.lanes, present)
            raise


def check_files(config: Config, file: Path | None) -> dict[str, float]:
    """Check that all files which a configuration names are usable; returns when its certificates expire.

    Raises:
        ConfigurationError: a file is not usable.
    """
    if config.learning.enabled and config.state_dir is None:
        raise ConfigurationError("learning.enabled: needs a state_dir, where what was learned is kept; name one")
    if config.learning.model == "own" and config.state_dir is None:
        raise ConfigurationError("learning.model: own needs a state_dir, where the plant's own model is kept; name one")
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
    calibrations: Calibrations, config: Config, lanes: dict[str, LoadedLane], channels: Iterable[Channel]
) -> None:
    patterns = [(TopicPattern.parse(sensor.topic), sensor) for sensor in config.sensors]
    for channel in channels:
        for pattern, sensor in patterns:
            labels = pattern.match(channel.topic)
            if labels is not None:
                names = {"axis": channel.labels[-1], **labels, **sensor.labels}
                calibrations.of(sensor, names, lanes[sensor.model].info.sha256)
                break
