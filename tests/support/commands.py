"""Commands as a user gives them, in this process."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from monitor.cli.main import group
from monitor.errors import MonitorError


def invoke(*arguments: str | Path) -> Result:
    """Run ``vibration-monitor`` with these arguments."""
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def output(*arguments: str | Path) -> str:
    """What a command that must succeed prints on standard output."""
    result = invoke(*arguments)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result.stdout


def document(*arguments: str | Path) -> dict[str, Any]:
    """The JSON document of a command that must succeed."""
    found: dict[str, Any] = json.loads(output(*arguments, "--json"))
    return found


def refusal(*arguments: str | Path) -> MonitorError:
    """The error that a command ends with."""
    error = invoke(*arguments).exception
    assert isinstance(error, MonitorError), repr(error)
    return error
