"""``backtest``: scores recordings exactly as the daemon would."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.options.duration import duration as duration_option
from monitor.cli.options.figure import figure
from monitor.cli.options.force import force_option, refuse_existing
from monitor.cli.options.model import model_argument
from monitor.cli.options.recording import recording_options
from monitor.cli.warning import warn
from monitor.recording.options import RecordingOptions

if TYPE_CHECKING:
    from monitor.core.scoring.calibration.calibration import Calibration
    from monitor.offline.backtest import ChannelResult
    from monitor.recording.source import Recording


@click.command()
@model_argument
@click.argument("recordings", nargs=-1, required=True)
@click.option(
    "--calibration",
    "calibration_file",
    type=click.Path(path_type=Path),
    help="Calibration file; without it: gaps only.",
)
@click.option("--regime", default="", help="Operating regime of the calibration.")
@click.option(
    "--interval",
    callback=duration_option,
    default="1s",
    show_default=True,
    help="Time that one score covers, without a calibration.",
)
@click.option("--false-alarms-per-month", type=click.FloatRange(1e-6, 1e4), default=1.0, show_default=True)
@click.option("--from", "first", callback=duration_option, help="Leave out so much of each recording's beginning.")
@click.option("--until", "last", callback=duration_option, help="Leave out what comes after so much of each recording.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write one row for each interval."
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=figure,
    help="Draw level, gaps, score and alarms.",
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@recording_options
def command(
    model: Path,
    recordings: tuple[str, ...],
    calibration_file: Path | None,
    regime: str,
    interval: float,
    false_alarms_per_month: float,
    first: float | None,
    last: float | None,
    csv_file: Path | None,
    plot_file: Path | None,
    force: bool,
    as_json: bool,
    options: RecordingOptions,
) -> None:
    """Score RECORDINGS, each as a separate channel, exactly as the daemon with this MODEL would.

    Interval and warm-up come from the calibration, because its limits are valid only for these. 'FILE?speed_rpm=1200'
    states a measured quantity of a recording, 'FILE?speed_rpm' names an array or column of the file; --csv shows them.

    Example: vibration-monitor backtest reference run.npz --calibration fan.calibration --plot run.png
    """
    from monitor.errors import ArtefactError, RecordingError
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.calibration_file import load_calibrations
    from monitor.model.engines.engines import load_engine
    from monitor.offline.backtest import backtest
    from monitor.offline.calibration_run import Cut, cut
    from monitor.recording.conditions import read_conditions
    from monitor.recording.described import open_described
    from monitor.recording.fit import length_s, require_rate
    from monitor.recording.part import between

    refuse_existing(csv_file, force=force, option="--csv")
    refuse_existing(plot_file, force=force, option="--plot")
    artefact = load_artefact(model)
    engine = load_engine(artefact, "onnxruntime")
    whole = open_described(recordings, options)
    described = [replace(each, recording=between(each.recording, first, last)) for each in whole]
    opened = [each.recording for each in described]
    calibration = None
    how = cut(opened, interval, artefact.manifest.warmup_blocks, engine.block_samples)
    rate_hz = opened[0].sampling_rate_hz
    if calibration_file is not None:
        file = load_calibrations(calibration_file)
        file.check(artefact.sha256)
        calibration = file.of_regime(regime)
        if calibration is None:
            raise ArtefactError(f"{calibration_file}: has no regime '{regime}'; known are {', '.join(file.regimes)}")
        how = Cut(calibration.interval_blocks, calibration.warmup_blocks, how.interval_s)
        rate_hz = calibration.sampling_rate_hz
    for recording in opened:
        require_rate(recording, rate_hz, "the calibration" if calibration else opened[0].name)
        _ask_for_unit(recording, calibrated=calibration is not None)
    warn(artefact.manifest.untrained_rate(opened[0].sampling_rate_hz, opened[0].name))
    conditions = read_conditions(described, engine.block_samples, warn)
    _warn_of_quantities(calibration, tuple(conditions[0].quantities))
    level_blocks = artefact.manifest.scaling.time_constant_blocks
    results = backtest(engine, level_blocks, opened, how, calibration, false_alarms_per_month, conditions)
    for result, each in zip(results, whole, strict=True):
        if not result.blocks_scored and not result.blocks_skipped and (first is not None or last is not None):
            length = length_s(each.recording)
            raise RecordingError(
                f"{result.name}: there is no block between --from and --until; it is {length:g} s long"
            )
    if csv_file is not None:
        _write_csv(csv_file, results)
    if plot_file is not None:
        from monitor.cli.recording.figures import plot_backtest

        plot_backtest(plot_file, results)
    if as_json:
        click.echo(json.dumps({"channels": [channel.document() for channel in results]}))
        return
    for channel in results:
        click.echo(_summary(channel))


def _ask_for_unit(recording: "Recording", *, calibrated: bool) -> None:
    """Require a unit where a calibration needs it; elsewhere say what the figures are in."""
    from monitor.recording.fit import require_unit

    if calibrated:
        require_unit(recording, "the calibration holds levels in m/s^2")
    elif recording.unit is None:
        warn(f"{recording.name}: does not say its unit; level and gap are in the unit of the file; --unit tells it")


def _warn_of_quantities(calibration: "Calibration | None", given: tuple[str, ...]) -> None:
    """Say which measured quantities are missing or not used."""
    learned = given if calibration is None else calibration.quantities
    for name in learned:
        if name not in given:
            warn(f"the calibration was learned with {name}, which is not given; scored without it")
    for name in given:
        if name not in learned:
            warn(f"the calibration was learned without {name}, so it changes no score")


def _write_csv(path: Path, results: "list[ChannelResult]") -> None:
    from monitor.errors import MonitorError
    from monitor.offline.backtest import csv_rows

    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows(csv_rows(results))
    except OSError as error:
        raise MonitorError(
            f"{path}: cannot be written: {error.strerror or error}; check folder and free space"
        ) from error


def _summary(channel: "ChannelResult") -> str:
    def shown(figures: object, key: str) -> str:
        value = figures.get(key) if isinstance(figures, dict) else None
        return "-" if value is None else f"{value:.3g}"

    document = channel.document()
    alarms = channel.alarms()
    text = (
        f"{channel.name}: {len(channel.intervals)} intervals, gap ratio {shown(document['gap_ratio'], 'median')}, "
        f"score median {shown(document['score'], 'median')}, p95 {shown(document['score'], 'p95')}, "
        f"max {shown(document['score'], 'max')}; "
    )
    if not alarms:
        return text + "no alarm"
    return text + f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''}, the first at {alarms[0]['start_s']:.6g} s"
