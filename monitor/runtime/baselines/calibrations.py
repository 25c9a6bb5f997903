"""The calibration of a channel: the file that the configuration names for it, or else its current baseline.

Either is found by the channel's labels, checked against its model and read once.

A channel whose calibration is missing or unusable gets no score. The log says so; the daemon goes on.
"""

import logging
import math
from pathlib import Path

from monitor.config.file import resolve
from monitor.config.sensors import Sensor
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.errors import ArtefactError
from monitor.model.calibration_file import CalibrationFile, load_calibrations
from monitor.runtime.baselines.store import Store

LOG = logging.getLogger(__name__)

LOCKING = ("learned", "extended", "imported", "accepted", "reverted")
"""Changes after which a baseline counts as locked anew."""


class Calibrations:
    """The calibrations of the channels; all channels of a file that a configuration names share one object."""

    def __init__(self, config_file: Path | None, baselines: Store) -> None:
        """Make an empty collection.

        Args:
            config_file: the configuration; the files that it names are relative to it.
            baselines: the baselines of channels for which it names no file.
        """
        self._config_file = config_file
        self._baselines = baselines
        self._files: dict[Path, CalibrationFile | None] = {}
        self._before: dict[Path, CalibrationFile | None] = {}

    def renewed(self) -> "Calibrations":
        """The same calibrations, read again when used; a file that did not change keeps its object."""
        fresh = Calibrations(self._config_file, self._baselines)
        fresh._before = self._files
        return fresh

    def locked_at_s(self, sensor: Sensor, labels: dict[str, str]) -> float:
        """UNIX seconds at which a channel's calibration was locked, or changed by a person; NaN: not known, or not yet.

        Args:
            sensor: its configuration.
            labels: values of the channel's labels, by name.
        """
        name = sensor.calibration_of(labels)
        if name is not None:
            try:
                return resolve(name, self._config_file).stat().st_mtime
            except (OSError, ValueError):
                return math.nan
        history = self._baselines.history(labels)
        if history is None or history.baseline is None or history.baseline.provisional:
            return math.nan
        made = [one.at_s for one in history.changes if one.what in LOCKING and one.baseline == history.current]
        return made[-1] if made else history.baseline.made_at_s

    def of(self, sensor: Sensor, labels: dict[str, str], model_sha256: str) -> Calibration | None:
        """The calibration of a channel; None if it has no usable one, which is logged.

        Args:
            sensor: its configuration, which may name a file.
            labels: values of the channel's labels, by name.
            model_sha256: hash of the model that forecasts the channel.
        """
        name = sensor.calibration_of(labels)
        if name is None:
            return self._baselines.current(labels, model_sha256)
        file = self._read(resolve(name, self._config_file), model_sha256)
        if file is None:
            return None
        try:
            return file.of_channel(labels)
        except ArtefactError as error:
            LOG.warning("no score: %s", error)
            return None

    def _read(self, path: Path, model_sha256: str) -> CalibrationFile | None:
        if path not in self._files:
            self._files[path] = None
            try:
                file = load_calibrations(path)
                file.check(model_sha256)
                before = self._before.get(path)
                self._files[path] = before if before is not None and before.header == file.header else file
            except ArtefactError as error:
                LOG.warning("no score: %s", error)
        return self._files[path]
