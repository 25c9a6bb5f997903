"""What the command gives to a shell: completion, and a manual page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from monitor.cli.main import COMMANDS, group
from tests.support.commands import invoke, output
from tests.support.programs import program


def test_bash_completes_commands_options_and_choices(tmp_path: Path) -> None:
    program("bash")
    command = tmp_path / "vibration-monitor"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m monitor "$@"\n')
    command.chmod(0o755)
    script = tmp_path / "completion.bash"
    script.write_text(output("completion", "bash"))

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in ("vibration-monitor", *words))
        code = (
            f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; compopt() {{ :; }}; "
            f'_vibration_monitor_completion vibration-monitor; printf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.split()

    assert completed("re") == ["replay", "record"]
    assert completed("record", "--dur") == ["--duration"]
    assert set(completed("replay", "fan.npz", "--qos", "")) == {"0", "1"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(shell: str) -> None:
    assert "_VIBRATION_MONITOR_COMPLETE" in output("completion", shell)


def test_another_shell_is_a_usage_error() -> None:
    assert invoke("completion", "csh").exit_code == 2


def test_completion_of_commands_imports_none(tmp_path: Path) -> None:
    code = (
        "import sys; from monitor.cli.main import group; import click;"
        "print(len(group.shell_complete(click.Context(group), '')), 'monitor.cli.model.train' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(COMMANDS)} False\n"


def test_the_manual_page_is_sound_and_complete(tmp_path: Path) -> None:
    page = tmp_path / "vibration-monitor.1"
    page.write_text(output("man"))
    done = subprocess.run(
        [program("groff"), "-man", "-Tutf8", "-ww", "-P-cbou", page], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    shown = re.sub(r"[\u2010\u2011\u2212]", "-", done.stdout)
    context = click.Context(group)
    for name in COMMANDS:
        assert f"vibration-monitor {name} " in shown
        command = group.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[0] in shown, f"{name} {parameter.opts[0]}"
    assert "vibration-monitor models verify " in shown
    assert CliRunner().invoke(group, ["man"]).exit_code == 0
