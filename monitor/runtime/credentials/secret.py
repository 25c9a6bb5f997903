"""Secrets: read from files, never shown.

A secret prints as ``***`` everywhere: in logs, in errors, in the representation of the configuration.
"""

from pathlib import Path

from monitor.errors import ConfigurationError


class Secret:
    """A text that prints as ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


def read_secret(path: Path, key: str) -> Secret:
    """Read a secret from a file; one trailing newline is ignored.

    Raises:
        ConfigurationError: the file cannot be read or is empty; the message names the configuration ``key``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{key}: cannot read {path}: {error.strerror or error}; write the secret into that file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{key}: {path} is not UTF-8 text; write the secret into it as text") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigurationError(f"{key}: {path} is empty; write the secret into it")
    return Secret(text)
