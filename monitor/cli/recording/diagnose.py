"""``diagnose``: names the fault of a recording, and measures what standards ask for."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.options.figure import figure
from monitor.cli.options.force import force_option, refuse_existing
from monitor.cli.options.model import named_model
from monitor.cli.options.recording import recording_options
from monitor.recording.options import RecordingOptions

if TYPE_CHECKING:
    from monitor.core.diagnosis.bearings import Bearing
    from monitor.core.diagnosis.diagnose import Diagnosis, Whitening
    from monitor.recording.described import Described
    from monitor.recording.source import Recording


@click.command()
@click.argument("recording")
@click.option("--speed-rpm", type=float, metavar="RPM", help="Speed of the shaft, if it is not beside the samples.")
@click.option(
    "--bearing",
    "bearings",
    multiple=True,
    metavar="NAME|GEOMETRY",
    help="6205, or balls=9,ball_diameter=7.94,pitch_diameter=39.04,contact_angle=0, or bpfo=,bpfi=,bsf=,ftf=; a name "
    "of your own before a colon (drive end: 6205).",
)
@click.option(
    "--gear", "gears", type=click.IntRange(5, 2000), multiple=True, metavar="TEETH", help="Gear on the shaft."
)
@click.option(
    "--calibration",
    "calibration_file",
    type=click.Path(path_type=Path),
    help="Whiten by the healthy machine, not by the recording itself.",
)
@click.option("--regime", default="", help="Operating regime of the calibration.")
@click.option(
    "--model",
    callback=named_model,
    default="reference",
    show_default=True,
    help="Model of the calibration, if it counts.",
)
@click.option(
    "--baseline",
    multiple=True,
    metavar="RECORDING",
    help="Healthy recording: faults of the shaft are looked for, and no part is named that shows as much there.",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=figure,
    help="Draw the envelope spectrum with the lines of the bearings.",
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@recording_options
def command(
    recording: str,
    speed_rpm: float | None,
    bearings: tuple[str, ...],
    gears: tuple[int, ...],
    calibration_file: Path | None,
    regime: str,
    model: Path,
    baseline: tuple[str, ...],
    plot_file: Path | None,
    force: bool,
    as_json: bool,
    options: RecordingOptions,
) -> None:
    """Name the fault in RECORDING: outer race, inner race, ball, cage, gear mesh, imbalance, misalignment, looseness.

    Nothing is named unless chance is excluded. A speed beside the samples, or 'FILE?speed_rpm', may change within the
    record. Known bearings: 6203, 6205, UER204, ZA-2115, PRONOSTIA.

    Example: vibration-monitor diagnose fan.npz --speed-rpm 1797 --bearing 6205 --plot fan.png
    """
    from monitor.core.diagnosis.diagnose import Facts
    from monitor.core.diagnosis.whitening import whitened
    from monitor.errors import ConfigurationError
    from monitor.offline.diagnosis import SPEED, diagnose

    refuse_existing(plot_file, force=force, option="--plot")
    known = tuple(parsed_bearing(text) for text in bearings)
    if len({bearing.name for bearing in known}) < len(known):
        raise ConfigurationError("--bearing: two bearings have the same name; write NAME: GEOMETRY")
    opened = [_opened(text, options) for text in (recording, *baseline)]
    described, healthy = opened[0], opened[1:]
    if speed_rpm is not None and described.quantities.get(SPEED, None) not in (None, speed_rpm):
        raise ConfigurationError(
            f"{recording}: --speed-rpm is {speed_rpm:g}, but the address says another; leave one out"
        )
    whitening: Whitening = whitened
    if calibration_file is not None:
        whitening = _by_calibration(calibration_file, regime, model, described.recording)
    found = diagnose(described, Facts(known, gears), speed_rpm, whitening, healthy)
    if plot_file is not None:
        from monitor.cli.recording.figures import plot_diagnosis

        plot_diagnosis(plot_file, found, known)
    click.echo(json.dumps(found.document()) if as_json else text_of(found))


def _opened(text: str, options: RecordingOptions) -> "Described":
    """One channel, with the speed beside its samples if the file has one."""
    from monitor.errors import ConfigurationError
    from monitor.offline.diagnosis import SPEED
    from monitor.recording.described import Described, open_described

    stated = SPEED in text.rpartition("?")[2]
    probed = text if stated else f"{text}{'&' if '?' in text else '?'}{SPEED}"
    found = open_described([probed], options)
    if len(found) > 1:
        raise ConfigurationError(f"{text}: has {len(found)} channels; choose one with --channel")
    described = found[0]
    if stated or SPEED in described.recording.selection.quantities:
        return described
    return Described(described.recording, {k: v for k, v in described.quantities.items() if k != SPEED})


def parsed_bearing(text: str) -> "Bearing":
    """A bearing as it is written after ``--bearing``.

    Raises:
        ConfigurationError: it is neither a known designation nor a possible bearing.
    """
    from monitor.core.diagnosis.bearings import PUBLIC, from_facts, public_bearing
    from monitor.errors import ConfigurationError

    before, colon, after = text.partition(":")
    own, body = (before.strip(), after.strip()) if colon else ("", text.strip())
    if "=" not in body:
        found = public_bearing(body)
        if found is None:
            raise ConfigurationError(
                f"--bearing {text}: '{body}' is not known; known are {', '.join(PUBLIC)}. Give the geometry: "
                "balls=9,ball_diameter=7.94,pitch_diameter=39.04,contact_angle=0, or orders: "
                "bpfo=..,bpfi=..,bsf=..,ftf=.."
            )
        from dataclasses import replace

        return replace(found, name=own or body)
    facts: dict[str, float] = {}
    for item in body.split(","):
        key, _, value = (part.strip() for part in item.partition("="))
        try:
            number = float(value)
        except ValueError:
            raise ConfigurationError(f"--bearing {text}: '{item}' is not NAME=NUMBER") from None
        if key in facts:
            raise ConfigurationError(f"--bearing {text}: '{key}' stands twice")
        facts[key] = number
    return from_facts(own or "bearing", facts)


def _by_calibration(file: Path, regime: str, model: Path, recording: "Recording") -> "Whitening":
    from monitor.errors import ArtefactError
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.calibration_file import load_calibrations
    from monitor.model.engines.engines import load_engine
    from monitor.offline.diagnosis import head_whitening
    from monitor.recording.fit import require_rate

    calibrations = load_calibrations(file)
    calibration = calibrations.of_regime(regime)
    if calibration is None:
        raise ArtefactError(f"{file}: has no regime '{regime}'; known are {', '.join(calibrations.regimes)}")
    require_rate(recording, calibration.sampling_rate_hz, "the calibration")
    if not calibration.head.uses_network:
        return head_whitening(calibration.head, None, 0)
    artefact = load_artefact(model)
    calibrations.check(artefact.sha256)
    engine = load_engine(artefact, "onnxruntime")
    return head_whitening(calibration.head, engine, artefact.manifest.scaling.time_constant_blocks)


def text_of(found: "Diagnosis") -> str:
    """The result for people."""
    lines = [fault.words for fault in found.faults]
    if not found.faults:
        lines.append("not named")
    lines += [f"({reason})" for reason in found.reasons]
    if found.rates_hz:
        lines.append("repetition rates: " + ", ".join(f"{rate:.1f} Hz" for rate in found.rates_hz))
    if found.velocity_rms_mps is not None:
        lines.append(f"velocity {1e3 * found.velocity_rms_mps:.3g} mm/s RMS, 10 Hz to 1 kHz")
    figures = found.figures
    lines.append(
        f"RMS {figures.rms:.3g} {found.unit}, crest factor {figures.crest_factor:.3g}, "
        f"kurtosis {figures.kurtosis:.3g}, peak to peak {figures.peak_to_peak:.3g} {found.unit}"
    )
    return "\n".join(lines)
