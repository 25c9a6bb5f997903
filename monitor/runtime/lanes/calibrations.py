"""The calibration of a channel: found by its labels, checked against its model, read once.

A channel whose calibration is missing or unusable gets no score. The log says so; the daemon goes on.
"""

import logging
from pathlib import Path

from monitor.config_file import resolve
from monitor.config_sensors import Sensor
from monitor.core.scoring.calibration import Calibration
from monitor.errors import ArtefactError
from monitor.model.calibration_file import ANY_REGIME, CalibrationFile, load_calibrations

LOG = logging.getLogger(__name__)

REGIME = "regime"
"""The label that names the operating regime, where a channel has one."""


class Calibrations:
    """The calibrations that a configuration names; all channels of a file share one object."""

    def __init__(self, config_file: Path | None) -> None:
        self._config_file = config_file
        self._files: dict[Path, CalibrationFile | None] = {}
        self._before: dict[Path, CalibrationFile | None] = {}

    def renewed(self) -> "Calibrations":
        """The same calibrations, read again when used; a file that did not change keeps its object."""
        fresh = Calibrations(self._config_file)
        fresh._before = self._files
        return fresh

    def of(self, sensor: Sensor, labels: dict[str, str], model_sha256: str) -> Calibration | None:
        """The calibration of a channel; None if it has no usable one, which is logged.

        Args:
            sensor: its configuration, which names the file.
            labels: values of the channel's labels, by name.
            model_sha256: hash of the model that forecasts the channel.
        """
        if sensor.calibration is None:
            return None
        name = sensor.calibration
        for label, value in labels.items():
            # A label comes from a topic: it must not lead out of the folder.
            name = name.replace(f"{{{label}}}", value.replace("/", "_").replace("..", "_"))
        path = resolve(name, self._config_file)
        file = self._read(path, model_sha256)
        if file is None:
            return None
        regime = labels.get(REGIME, ANY_REGIME)
        found = file.regimes.get(regime) or file.regimes.get(ANY_REGIME)
        if found is None:
            LOG.warning("no score: %s has no regime %r, only %s", path, regime, ", ".join(file.regimes))
        return found

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
