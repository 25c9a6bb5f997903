"""``check-config``: reports all problems of a configuration at once, and what can be scored with it."""

import json
from pathlib import Path

import click

from monitor.cli.warning import warn


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--schema", is_flag=True, help="Print a JSON schema of configuration files, for editors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(file: Path | None, schema: bool, as_json: bool) -> None:
    """Report all problems of the configuration FILE with their key paths; exits 2 if there are any.

    Without problems, it lists what can be scored: calibrations that were found, are missing, or belong to another
    model.

    Example: vibration-monitor check-config config/example.yaml
    """
    from monitor.config.file import read_config, with_own_place
    from monitor.errors import ConfigurationError
    from monitor.runtime.checks.learned_before import lost_baselines
    from monitor.runtime.checks.preflight import preflight
    from monitor.runtime.checks.scorable import doubts, outlook

    if schema:
        from monitor.config.reference import schema as made

        click.echo(json.dumps(made(), indent=2))
        return
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    try:
        config = read_config(file)
        preflight(with_own_place(config, file), file)
    except ConfigurationError as error:
        if not as_json:
            raise
        # The first of several lines only counts the problems; a file that is no YAML at all has one line.
        first, *problems = str(error).splitlines()
        click.echo(json.dumps({"ok": False, "problems": [line.strip() for line in problems or [first]]}))
        raise SystemExit(error.exit_code) from error
    sensors, warnings = outlook(config, file), [*doubts(config), *lost_baselines(config, file)]
    if as_json:
        known = [
            {
                "topic": sensor.topic,
                "learns": sensor.learns,
                "calibrations_found": sensor.found,
                "calibrations_missing": sensor.missing,
                "calibrations_unusable": sensor.unusable,
            }
            for sensor in sensors
        ]
        click.echo(json.dumps({"ok": True, "problems": [], "sensors": known, "warnings": warnings}))
        return
    count = f"{len(sensors)} sensor{'s' if len(sensors) != 1 else ''}"
    click.echo(f"{file}: ok ({count}, labels {', '.join(config.label_names)})")
    for i, sensor in enumerate(sensors):
        click.echo(f"sensors[{i}] {sensor.topic}: " + "\n  ".join(sensor.lines()))
    for text in warnings:
        warn(text)
