"""The options of every command that connects to a broker: its address, our credentials, TLS."""

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from monitor.config.file import read_config
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.errors import ConfigurationError

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)

OPTIONS = (
    click.option(
        "--url", help="mqtt://host, mqtts://host (TLS), kafka://host:9092/TOPIC; default: mqtt://localhost:1883."
    ),
    click.option(
        "--config", "config_file", type=FILE, help="Take the broker from the section mqtt or kafka of this file."
    ),
    click.option("--user", help="User name."),
    click.option("--password-file", type=FILE, help="File with the password."),
    click.option(
        "--ca-file", type=FILE, help="Certificate authorities to trust instead of the system's, with mqtts://."
    ),
    click.option("--cert-file", type=FILE, help="Our client certificate, with mqtts://."),
    click.option("--key-file", type=FILE, help="Key of the client certificate."),
)
"""The options, in the order of ``--help``."""


def broker_options(command: Command) -> Callable[..., Any]:
    """Add the options to a command and pass them on as one argument ``broker``: the section ``mqtt`` or ``kafka``.

    An option overrides the file of ``--config``. An invalid option is a ConfigurationError that names it.

    Args:
        command: a function with a keyword argument ``broker``; put this decorator under ``click.command``.

    Returns:
        The function, with the options in place of the argument.
    """

    @wraps(command)
    def with_options(
        *args: Any,
        url: str | None,
        config_file: Path | None,
        user: str | None,
        password_file: Path | None,
        ca_file: Path | None,
        cert_file: Path | None,
        key_file: Path | None,
        **others: Any,
    ) -> Any:
        tls = {"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file}
        given = {"url": url, "user": user, "password_file": password_file}
        return command(*args, broker=broker_settings(config_file, given, tls), **others)

    decorated: Callable[..., Any] = with_options
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated


def broker_settings(config_file: Path | None, given: dict[str, Any], tls: dict[str, Any]) -> Mqtt | Kafka:
    """The broker's settings from the options: MQTT, or Kafka if the url or else the configuration says so.

    Args:
        config_file: configuration whose section ``mqtt`` or ``kafka`` gives the defaults; None: built-in defaults.
        given: ``url``, ``user`` and ``password_file``; None: not given. They override the file.
        tls: keys of the section ``tls``, likewise.

    Raises:
        ConfigurationError: the settings are invalid.
    """
    given = {key: value for key, value in given.items() if value is not None}
    tls = {key: value for key, value in tls.items() if value is not None}
    config = None if config_file is None else read_config(config_file)
    url = str(given.get("url", "kafka" if config is not None and config.kafka is not None else "mqtt"))
    try:
        if url.startswith("kafka"):
            return _kafka(config.kafka if config is not None else None, given, tls)
        # Every broker supports 3.1.1.
        plain: dict[str, Any] = {"version": "3.1.1", "tls": {}}
        settings = (plain if config is None else config.mqtt.model_dump()) | given
        settings["tls"] |= tls
        return Mqtt.model_validate(settings)
    except ValidationError as error:
        raise ConfigurationError("\n".join(map(_line, error.errors()))) from error


def _kafka(configured: Kafka | None, given: dict[str, Any], tls: dict[str, Any]) -> Kafka:
    """The settings of a Kafka cluster; its url is ``kafka://host:port[,host:port][/TOPIC]``, ``kafkas://`` with TLS.

    Raises:
        ConfigurationError: the url is not one.
        ValidationError: the settings are invalid.
    """
    settings: dict[str, Any] = {"tls": {}, "sasl": {}} if configured is None else configured.model_dump()
    secure = configured is not None and configured.secure
    if "url" in given:
        found = KAFKA_URL.fullmatch(given["url"])
        if found is None:
            raise ConfigurationError(
                f"--url: '{given['url']}' is not the address of a cluster; write kafka://host:9092/TOPIC, "
                "or kafkas://host:9093/TOPIC (TLS)"
            )
        secure = found[1] == "kafkas"
        settings["bootstrap"] = found[2]
        settings |= {"topic": found[3]} if found[3] else {}
    settings["tls"] |= tls
    settings["sasl"] |= {key: value for key, value in given.items() if key != "url"}
    kind = "ssl" if secure else "plaintext"
    settings["security"] = f"sasl_{kind}" if settings["sasl"].get("user") else kind
    return Kafka.model_validate(settings)


KAFKA_URL = re.compile(r"(kafkas?)://([^/]+)(?:/([^/]+))?/?")
"""Scheme, brokers and topic of a url."""


def _line(details: ErrorDetails) -> str:
    """One error as one line, with the option's name if the error is about one option."""
    key = details["loc"][-1] if details["loc"] else None
    text = str(details.get("ctx", {}).get("error", details["msg"]))
    return f"--{str(key).replace('_', '-')}: {text}" if key in {"url", "user", "password_file"} else text
