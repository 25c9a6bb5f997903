"""Checks before a start that the files which a configuration names exist, and reports all problems at once.

Does not handle: the contents of models and calibrations, which their loaders check.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from monitor.config.configuration import Config
from monitor.config.file import resolve, resolve_model
from monitor.errors import ConfigurationError
from monitor.runtime.credentials.secret import read_secret
from monitor.runtime.intake.kafka.client import check_settings
from monitor.shipped import shipped_models


def preflight(config: Config, config_file: Path) -> None:
    """Check the files that a configuration names.

    Raises:
        ConfigurationError: with all problems, one a line.
    """
    problems = list(chain(_models(config, config_file), _certificates(config), _secrets(config)))
    if config.kafka is not None and not problems:
        try:
            check_settings(config.kafka)
        except ConfigurationError as error:
            problems.append(str(error))
    if config.mqtt.homeassistant.enabled and config.mqtt.events_topic is None:
        problems.append("mqtt.homeassistant: shows alarm events, which have no topic; set mqtt.events_topic")
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        raise ConfigurationError("\n".join([f"{config_file}: {count}", *(f"  {line}" for line in problems)]))


def _models(config: Config, config_file: Path) -> Iterator[str]:
    for name, model in config.models.items():
        path = resolve_model(model, config_file)
        if not _is_file(path / "manifest.json"):
            yield (
                f"models.{name}: no model in {path}: expected a folder with manifest.json, or a shipped model: "
                f"{', '.join(shipped_models())}"
            )
    for i, sensor in enumerate(config.sensors):
        if sensor.calibration and "{" not in sensor.calibration:
            file = resolve(sensor.calibration, config_file)
            if not _is_file(file):
                yield f"sensors[{i}].calibration: the file {file} does not exist or is not readable"


def _certificates(config: Config) -> Iterator[str]:
    broker = config.broker
    files = {
        f"{broker.section}.tls.ca_file": broker.tls.ca_file,
        f"{broker.section}.tls.cert_file": broker.tls.cert_file,
        f"{broker.section}.tls.key_file": broker.tls.key_file,
        "http.cert_file": config.http.cert_file,
        "http.key_file": config.http.key_file,
    }
    for key, file in files.items():
        if file is not None and not _is_file(file):
            yield f"{key}: the file {file} does not exist or is not readable"


def _is_file(path: Path) -> bool:
    """Whether ``path`` is a file that we may access."""
    try:
        return path.is_file()
    except OSError:
        return False


def _secrets(config: Config) -> Iterator[str]:
    secrets = {
        "mqtt.password_file": config.mqtt.password_file,
        "kafka.sasl.password_file": config.kafka.sasl.password_file if config.kafka else None,
        "http.bearer_token_file": config.http.bearer_token_file,
        "http.basic_auth.password_file": config.http.basic_auth.password_file if config.http.basic_auth else None,
    }
    for key, secret in secrets.items():
        if secret is not None:
            try:
                read_secret(secret, key)
            except ConfigurationError as error:
                yield str(error)
