"""``check-config``: reports all problems of a configuration at once."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(file: Path, as_json: bool) -> None:
    """Report all problems of the configuration FILE with their key paths; exits 2 if there are any.

    Example: vibration-monitor check-config config/example.yaml
    """
    from monitor.config_file import read_config
    from monitor.errors import ConfigurationError
    from monitor.runtime.preflight import preflight

    try:
        config = read_config(file)
        preflight(config, file)
    except ConfigurationError as error:
        if not as_json:
            raise
        # The first of several lines only counts the problems; a file that is no YAML at all has one line.
        first, *problems = str(error).splitlines()
        click.echo(json.dumps({"ok": False, "problems": [line.strip() for line in problems or [first]]}))
        raise SystemExit(error.exit_code) from error
    if as_json:
        click.echo(json.dumps({"ok": True, "problems": []}))
    else:
        click.echo(f"{file}: ok ({len(config.sensors)} sensors, labels {', '.join(config.label_names)})")
