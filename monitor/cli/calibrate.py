"""``calibrate``: makes a channel's calibration from healthy recordings."""

import json
from pathlib import Path

import click

from monitor.cli.model_argument import model_argument
from monitor.cli.recordings import duration as duration_option
from monitor.cli.recordings import recording_options, warn
from monitor.recording.options import RecordingOptions


@click.command()
@model_argument
@click.argument("recordings", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Calibration file to write.")
@click.option(
    "--interval", callback=duration_option, default="1s", show_default=True, help="Time that one score covers."
)
@click.option("--regime", default="", help="Operating regime of these recordings; it is added to an existing file.")
@click.option("--from", "first", callback=duration_option, help="Leave out so much of each recording's beginning.")
@click.option("--until", "last", callback=duration_option, help="Leave out what comes after so much of each recording.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@recording_options
def command(
    model: Path,
    recordings: tuple[str, ...],
    out: Path,
    interval: float,
    regime: str,
    first: float | None,
    last: float | None,
    as_json: bool,
    options: RecordingOptions,
) -> None:
    """Learn what is normal for one channel from healthy RECORDINGS that MODEL was not trained on.

    Records of a burst sensor (short, with pauses) are scored one by one; longer recordings are cut into intervals.

    Example: vibration-monitor calibrate reference healthy.npz --out fan-1-de-x.calibration --interval 1s
    """
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.calibration_file import load_calibrations, save_calibrations
    from monitor.model.engines.engines import load_engine
    from monitor.offline.calibration_run import calibrate_channels, cut
    from monitor.recording.fit import require_rate
    from monitor.recording.part import between
    from monitor.recording.source import open_recordings

    artefact = load_artefact(model)
    engine = load_engine(artefact, "onnxruntime")
    opened = open_recordings(recordings, options)
    for recording in opened[1:]:
        require_rate(recording, opened[0].sampling_rate_hz, f"the calibration with {opened[0].name}")
    warn(artefact.manifest.untrained_rate(opened[0].sampling_rate_hz, opened[0].name))
    parts = [between(recording, first, last) for recording in opened]
    how = cut(parts, interval, artefact.manifest.warmup_blocks, engine.block_samples)
    level_blocks = artefact.manifest.scaling.time_constant_blocks
    calibration = calibrate_channels(engine, level_blocks, [parts], how, warn)[0]
    regimes = {}
    if regime and out.exists():
        before = load_calibrations(out)
        before.check(artefact.sha256)
        regimes = before.regimes
    regimes[regime] = calibration
    names = [recording.name for recording in opened]
    save_calibrations(out, regimes, model_sha256=artefact.sha256, channel=names[0], made={"recordings": names})
    months = {rate: calibration.limit(rate) for rate in (1.0, 30.0)}
    if as_json:
        click.echo(
            json.dumps(
                {
                    "file": str(out),
                    "healthy_s": calibration.healthy_s,
                    "intervals": calibration.intervals,
                    "interval_blocks": calibration.interval_blocks,
                    "warmup_blocks": calibration.warmup_blocks,
                    "level_mps2": calibration.level_mps2,
                    "gap_ratio": calibration.gap_ratio,
                    "trust": calibration.trust,
                    "linear_trust": calibration.linear_trust,
                    "limit_surprise": {f"{rate:g} a month": limit for rate, limit in months.items()},
                }
            )
        )
        return
    click.echo(
        f"{out}: {calibration.healthy_s / 3600:.3g} healthy hours, {calibration.intervals:g} intervals of "
        f"{calibration.interval_blocks} blocks, level {calibration.level_mps2:.3g} m/s^2, gap ratio "
        f"{calibration.gap_ratio:.3f}; {calibration.foresight}"
    )
    if calibration.healthy_s < 3600:
        click.echo("a limit from less than an hour is extrapolated far; calibrate again with longer recordings")
