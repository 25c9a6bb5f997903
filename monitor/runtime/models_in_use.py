"""Which directory a model of the configuration is loaded from: the configured one, or that of the plant's own model.

The own model takes the place of a configured one where ``learning.model`` is ``own`` and it was taken.
"""

from pathlib import Path

from monitor.config.configuration import Config
from monitor.config.file import resolve_model
from monitor.model.own.state import FOLDER, Phase, read_state
from monitor.runtime.file_names import file_slug


def own_folder(state_dir: Path, name: str) -> Path:
    """The folder of the own model that may take the place of the model ``name``."""
    return state_dir / FOLDER / file_slug(name)


def model_in_use(config: Config, name: str, config_file: Path | None) -> Path:
    """The directory of the model ``name``.

    Raises:
        ArtefactError: what is known of the own model cannot be read.
    """
    learns = any(sensor.model == name and sensor.calibration is None for sensor in config.sensors)
    if config.learning.model == "own" and config.state_dir is not None and learns:
        folder = own_folder(config.state_dir, name)
        state = read_state(folder)
        if state is not None and state.phase is Phase.TAKEN and (own := state.directory(folder)) is not None:
            return own
    return resolve_model(config.models[name], config_file)
