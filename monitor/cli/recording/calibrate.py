"""``calibrate``: makes a channel's calibration from healthy recordings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.options.duration import duration as duration_option
from monitor.cli.options.force import force_option, refuse_existing
from monitor.cli.options.model import model_argument
from monitor.cli.options.recording import recording_options
from monitor.cli.warning import warn
from monitor.quantities import spoken_duration
from monitor.recording.options import RecordingOptions

if TYPE_CHECKING:
    from monitor.core.scoring.calibration.calibration import Calibration


@click.command()
@model_argument
@click.argument("recordings", nargs=-1, required=True)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Calibration file to write."
)
@click.option(
    "--interval", callback=duration_option, default="1s", show_default=True, help="Time that one score covers."
)
@click.option("--regime", default="", help="Operating regime of these recordings; it is added to an existing file.")
@click.option("--from", "first", callback=duration_option, help="Leave out so much of each recording's beginning.")
@click.option("--until", "last", callback=duration_option, help="Leave out what comes after so much of each recording.")
@force_option
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
    force: bool,
    as_json: bool,
    options: RecordingOptions,
) -> None:
    """Learn what is normal for one channel from healthy RECORDINGS that MODEL was not trained on.

    Records of a burst sensor (short, with pauses) are scored one by one; longer recordings are cut into intervals.

    Give one recording or several, such as one for each speed. 'FILE?speed_rpm=1200' states a measured quantity of a
    recording, 'FILE?speed_rpm' names an array or column of the file.

    Example: vibration-monitor calibrate reference healthy.npz --out fan-1-de-x.calibration --interval 1s
    """
    from monitor.core.learning.sensitivity import sensitivity_document
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.calibration_file import save_calibrations
    from monitor.model.engines.engines import load_engine
    from monitor.offline.calibration_run import calibrate_channels, cut
    from monitor.recording.conditions import ranges, read_conditions
    from monitor.recording.described import open_described
    from monitor.recording.fit import require_rate, require_unit
    from monitor.recording.part import between

    artefact = load_artefact(model)
    regimes = _regimes(out, regime, artefact.sha256, force=force)
    engine = load_engine(artefact, "onnxruntime")
    described = [
        replace(each, recording=between(each.recording, first, last)) for each in open_described(recordings, options)
    ]
    parts = [each.recording for each in described]
    for recording in parts:
        require_rate(recording, parts[0].sampling_rate_hz, f"the calibration with {parts[0].name}")
    for recording in parts:
        require_unit(recording, "a calibration holds levels in m/s^2")
    warn(artefact.manifest.untrained_rate(parts[0].sampling_rate_hz, parts[0].name))
    how = cut(parts, interval, artefact.manifest.warmup_blocks, engine.block_samples)
    conditions = read_conditions(described, engine.block_samples, warn)
    level_blocks = artefact.manifest.scaling.time_constant_blocks
    calibration = calibrate_channels(engine, level_blocks, [parts], how, warn, [conditions])[0]
    regimes[regime] = calibration
    names = [recording.name for recording in parts]
    save_calibrations(out, regimes, model_sha256=artefact.sha256, channel=names[0], made={"recordings": names})
    for name, (low, high) in zip(calibration.quantities, calibration.ranges.tolist(), strict=True):
        if low == high == 0.0:
            warn(f"{name} is 0 in all healthy data, so any other value will count as an unknown condition")
    learned = ranges(conditions)
    months = {rate: calibration.limit(rate) for rate in (1.0, 30.0)}
    if as_json:
        click.echo(
            json.dumps(
                {
                    "file": str(out),
                    "healthy_s": calibration.healthy_s,
                    "intervals": calibration.intervals,
                    "intervals_aside": calibration.aside_intervals,
                    "prototypes": len(calibration.prototypes),
                    "interval_blocks": calibration.interval_blocks,
                    "warmup_blocks": calibration.warmup_blocks,
                    "level_mps2": calibration.level_mps2,
                    "gap_ratio": calibration.gap_ratio,
                    "trust": calibration.trust,
                    "linear_trust": calibration.linear_trust,
                    "conditions": {name: {"min": low, "max": high} for name, (low, high) in learned.items()},
                    "sensitivity_db": sensitivity_document(calibration),
                    "limit_surprise": {f"{rate:g} a month": limit for rate, limit in months.items()},
                }
            )
        )
        return
    _tell(out, calibration, learned)


def _regimes(out: Path, regime: str, model_sha256: str, *, force: bool) -> "dict[str, Calibration]":
    """The regimes that a file keeps when ``regime`` is written to it; asked before the work.

    Raises:
        ConfigurationError: a calibration would be replaced, and the user did not say ``--force``.
        ArtefactError: the file, to which a regime is added, is unusable or was made with another model.
    """
    from monitor.errors import ConfigurationError
    from monitor.model.calibration_file import load_calibrations

    if not regime:
        refuse_existing(out, force=force, depends="the channels that use it would be scored by other limits")
        return {}
    if not out.exists():
        return {}
    before = load_calibrations(out)
    before.check(model_sha256)
    if regime in before.regimes and not force:
        raise ConfigurationError(
            f"--out {out}: has a regime '{regime}', and the channels that use it would be scored by other limits; give "
            "another regime, or --force to replace it"
        )
    return before.regimes


def _tell(out: Path, calibration: "Calibration", learned: dict[str, tuple[float, float]]) -> None:
    """Print what was learned, and what it is worth."""
    from monitor.core.learning.sensitivity import advice, stated

    click.echo(
        f"{out}: {spoken_duration(calibration.healthy_s)} of healthy signal, {calibration.intervals:g} intervals of "
        f"{calibration.interval_blocks} blocks, level {calibration.level_mps2:.3g} m/s^2, gap ratio "
        f"{calibration.gap_ratio:.3f}; {calibration.foresight}"
    )
    click.echo(stated(calibration))
    if advised := advice(calibration):
        click.echo(advised)
    if (prototypes := len(calibration.prototypes)) > 1:
        click.echo(f"several conditions, known by {prototypes} prototypes; what lies between them is healthy too")
    if calibration.aside_intervals:
        click.echo(
            f"{calibration.aside_intervals:g} intervals set aside: the rest of the data explains nothing like them, so "
            "they may have been a fault"
        )
    if learned:
        shown = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in learned.items())
        click.echo(f"healthy conditions: {shown}")
    if calibration.healthy_s < 3600:
        click.echo("a limit from less than an hour is extrapolated far; calibrate again with longer recordings")
