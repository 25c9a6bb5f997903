"""Checks before a start that the files which a configuration names can be used, and reports all problems at once.

Does not handle: the contents of models and calibrations, which their loaders check.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from monitor.config.configuration import Config
from monitor.config.file import resolve, resolve_model
from monitor.errors import ConfigurationError
from monitor.runtime.credentials.certificates import broker_context, server_context
from monitor.runtime.credentials.secret import read_secret
from monitor.runtime.intake.kafka.client import check_settings
from monitor.shipped import shipped_models


def preflight(config: Config, config_file: Path) -> None:
    """Check the files that a configuration names, and its ``state_dir``, which :func:`with_own_place` has found.

    Raises:
        ConfigurationError: with all problems, one a line.
    """
    problems = list(chain(_models(config, config_file), _state_dir(config), _certificates(config), _secrets(config)))
    if not problems:
        problems += _unusable(config)
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


def _state_dir(config: Config) -> Iterator[str]:
    folder = config.state_dir
    if folder is not None and _is_file(folder):
        yield f"state_dir: {folder} is not a folder; name one, which is made if it is not there"


def _unusable(config: Config) -> Iterator[str]:
    """What TLS and the client of the broker refuse, though the files are there."""
    checks: list[Callable[[], object]] = [lambda: server_context(config.http)]
    if (kafka := config.kafka) is not None:
        checks.append(lambda: check_settings(kafka))
    elif config.mqtt.secure:
        checks.append(lambda: broker_context(config.mqtt))
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            yield str(error)


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
