"""``export-config``: copies the daemon's configuration files from the installed package into a folder.

The files are copied unchanged, so users of the wheel deploy the tested files. If one of them exists already, nothing is
written unless ``--force`` is given.
"""

import json
from pathlib import Path

import click

from monitor.errors import ConfigurationError, MonitorError
from monitor.shipped import shipped

FOLDERS = ("config", "systemd")
"""Folders that are exported, under the same names."""


def sources() -> dict[Path, Path]:
    """Every shipped file by its path relative to the target; hidden files and compiled Python are left out."""
    return {
        Path(folder, file.relative_to(shipped(folder))): file
        for folder in FOLDERS
        for file in sorted(shipped(folder).rglob("*"))
        if file.is_file() and file.suffix != ".pyc" and not file.name.startswith(".")
    }


def export(target: Path, *, force: bool) -> list[Path]:
    """Copy the shipped files into the folder ``target``, which is created if necessary.

    Returns:
        The files written, in order.

    Raises:
        ConfigurationError: files exist already and ``force`` is off; nothing was written.
        MonitorError: the package lacks these files, or the folder cannot be written.
    """
    files = sources()
    if not files:
        raise MonitorError(f"export-config: no files under {shipped(FOLDERS[0])}; install the package again")
    there = [str(target / name) for name in files if (target / name).exists()]
    if there and not force:
        raise ConfigurationError(
            f"export-config: {len(there)} of {len(files)} files exist already, nothing was written. "
            "Name another folder, or overwrite them with --force:\n" + "\n".join(f"  {name}" for name in there)
        )
    written = []
    try:
        for name, source in files.items():
            file = target / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.read_bytes())
            written.append(file)
    except OSError as error:
        raise MonitorError(
            f"export-config: cannot write {error.filename or target}: {error.strerror}; {len(written)} of {len(files)} "
            "files were written. Name a folder that you may write to."
        ) from error
    return written


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(folder: Path, *, force: bool, as_json: bool) -> None:
    """Write example configuration, Prometheus rules, Alertmanager example, Grafana dashboards and systemd units to DIR.

    Example: vibration-monitor export-config /usr/local/share/vibration-monitor
    """
    written = export(folder, force=force)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": [str(file) for file in written]}))
        return
    for file in written:
        click.echo(str(file))
    click.echo(f"{len(written)} files written; {folder / 'systemd' / 'README.md'} says where they go.", err=True)
