"""What a configuration names outside itself: are the files there? Checked before a start, all at once.

Refuses to know: the contents of models and calibrations, which their loaders check.
"""

from pathlib import Path

from monitor.config import Config
from monitor.config_file import resolve
from monitor.errors import ConfigurationError
from monitor.runtime.secret import credential, read_secret


def preflight(config: Config, config_file: Path) -> None:
    """Check the files that a configuration names.

    Raises:
        ConfigurationError: with all problems, one a line.
    """
    problems = []
    for name, path in config.models.items():
        directory = resolve(path, config_file)
        if not (directory / "manifest.json").is_file():
            problems.append(f"models.{name}: there is no model in {directory}")
    for i, sensor in enumerate(config.sensors):
        if sensor.calibration and "{" not in sensor.calibration:
            file = resolve(sensor.calibration, config_file)
            if not file.is_file():
                problems.append(f"sensors[{i}].calibration: there is no file {file}")
    files = {
        "mqtt.tls.ca_file": config.mqtt.tls.ca_file,
        "mqtt.tls.cert_file": config.mqtt.tls.cert_file,
        "mqtt.tls.key_file": config.mqtt.tls.key_file,
        "http.cert_file": config.http.cert_file,
        "http.key_file": config.http.key_file,
    }
    named = {key: file for key, file in files.items() if file is not None}
    problems += [f"{key}: there is no file {file}" for key, file in named.items() if not credential(file).is_file()]
    secrets = {
        "mqtt.password_file": config.mqtt.password_file,
        "http.bearer_token_file": config.http.bearer_token_file,
        "http.basic_auth.password_file": config.http.basic_auth.password_file if config.http.basic_auth else None,
    }
    for key, secret in secrets.items():
        if secret is not None:
            try:
                read_secret(secret, key)
            except ConfigurationError as error:
                problems.append(str(error))
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        raise ConfigurationError("\n".join([f"{config_file}: {count}", *(f"  {line}" for line in problems)]))
