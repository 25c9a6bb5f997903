"""What checks a change: the README's test command, the hooks before a commit, and the versions of the tools."""

import re
import tomllib

import yaml

from tests.support.programs import ROOT


def readme_checks() -> list[str]:
    """The commands of the README's test command that are no preparation."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (command,) = (block.strip() for block in blocks if "lint-imports" in block)
    return [
        part.removeprefix(".venv/bin/")
        for part in command.split(" && ")
        if " -m venv " not in part and "pip " not in part
    ]


def test_the_hooks_are_the_test_command() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == readme_checks()


def test_every_test_tool_has_one_version() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        needed = tomllib.load(file)["project"]["optional-dependencies"]["test"]
    loose = [each for each in needed if (not each.startswith("vibration-monitor[") and "==" not in each) or "*" in each]
    assert loose == []
