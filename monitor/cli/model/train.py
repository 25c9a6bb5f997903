"""``train``: trains a model on healthy recordings, and reports its gap ratio on held-out data."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.model.training_shown import layer_table, show_result, training_shown
from monitor.cli.options.duration import duration
from monitor.cli.options.force import force_option, refuse_existing
from monitor.cli.options.model import named_model
from monitor.cli.options.recording import recording_options
from monitor.cli.progress import Bar
from monitor.cli.warning import warn
from monitor.core.forecasting.level import TIME_CONSTANT_BLOCKS
from monitor.recording.options import RecordingOptions
from monitor.shipped import shipped

if TYPE_CHECKING:
    from monitor.model.artefact.artefact import Artefact
    from monitor.model.network import Shape
    from monitor.model.training.training import Progress


@click.command()
@click.argument("recordings", nargs=-1, metavar="RECORDING...")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Model directory.")
@click.option(
    "--from",
    "start",
    metavar="MODEL",
    callback=named_model,
    help="Model to continue with: its directory, or the name of a shipped one; default: the shipped reference.",
)
@click.option("--from-scratch", is_flag=True, help="Start from fresh weights; takes four times as long.")
@click.option(
    "--tutorial",
    is_flag=True,
    help="The tutorial's recipe: from scratch, last-block loss, 5000 windows, 3 epochs.",
)
@click.option(
    "--universal",
    is_flag=True,
    help="Train a reference: on random machines, and on RECORDINGs if given. The same command resumes it.",
)
@click.option(
    "--learned",
    metavar="STATE_DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Train a plant's own model on what its daemon sampled (learning.model: own), and take it if it foresees more.",
)
@click.option("--budget", callback=duration, metavar="DURATION", help="With --universal: time to train, such as 2h.")
@click.option("--batches", type=click.IntRange(1), help="With --universal: length of the training in batches.")
@click.option(
    "--loss", type=click.Choice(["every-block", "last-block"]), help="Blocks of a window that count in the loss."
)
@click.option("--epochs", type=click.IntRange(1, 10_000), help="Passes over the windows.")
@click.option("--windows", type=click.IntRange(1), help="Most windows in an epoch.")
@click.option("--stride", type=click.IntRange(1), help="Samples between the starts of two windows.")
@click.option("--batch", type=click.IntRange(1, 65_536), help="Windows in a batch.")
@click.option("--learning-rate", type=click.FloatRange(0, 1, min_open=True), help="Highest learning rate.")
@click.option("--seed", type=click.IntRange(0), help="Seed of the initial weights and of the order of windows.")
@click.option("--block-size", type=click.IntRange(8, 4096), help="Samples in a block; from scratch 100.")
@click.option("--blocks", type=click.IntRange(2, 1000), help="Blocks in a window; from scratch 25.")
@click.option("--units", type=click.IntRange(1, 4096), help="Units of an LSTM layer; from scratch 100.")
@click.option("--hidden", type=click.IntRange(1, 4096), help="Units of the dense layer; from scratch 100.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 0.9),
    default=0.4,
    show_default=True,
    help="Share at the end of each recording that is held out for the report.",
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@recording_options
def command(
    recordings: tuple[str, ...],
    out: Path | None,
    start: Path | None,
    from_scratch: bool,
    tutorial: bool,
    universal: bool,
    learned: Path | None,
    budget: float | None,
    batches: int | None,
    block_size: int | None,
    blocks: int | None,
    units: int | None,
    hidden: int | None,
    holdout: float,
    force: bool,
    as_json: bool,
    options: RecordingOptions,
    **recipe_options: Any,
) -> None:
    """Train a model on healthy RECORDINGs and write it to a directory.

    The training continues with the weights of the shipped reference model, or of another one (--from). The recordings
    of all machines of a plant may be given at once; each has the same weight. With --universal a reference is trained:
    on random machines for the time of --budget, for machines that it has never seen. With --learned the recordings are
    what a daemon sampled.

    Options of a single recording can follow its name: 'FILE#key?decimate=4&sampling-rate-hz=48000&unit=g', and
    first=0.25 for the first quarter only. Ctrl-C stops the training and keeps the best model so far.

    Example: vibration-monitor train pump.npz fan.wav --channel all --out models/mine

    Example: vibration-monitor train --learned /var/lib/vibration-monitor

    Example: vibration-monitor train --universal --budget 2h --out models/universal
    """
    from monitor.cli.model.train_learned import train_learned
    from monitor.cli.model.train_universal import train_universal_model
    from monitor.extras import require
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.training.training import CONTINUED, TUTORIAL, Recipe
    from monitor.model.training.training_run import run_training
    from monitor.recording.described import open_described, refuse_quantities

    given = {key: value for key, value in recipe_options.items() if value is not None}
    if learned is not None:
        _refuse_beside_learned(recordings, out, universal=universal, fresh=tutorial or from_scratch)
        train_learned(
            learned,
            None if start is None else load_artefact(start),
            replace(CONTINUED, **given),
            _show,
            force=force,
            as_json=as_json,
        )
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    if universal and tutorial:
        raise click.UsageError("--universal and --tutorial exclude each other")
    if not universal and (budget or batches):
        raise click.UsageError("--budget and --batches need --universal; otherwise give --epochs and --windows")
    if not universal and not recordings:
        raise click.UsageError("Missing argument 'RECORDING...'; only --universal trains without recordings")
    fresh = tutorial or from_scratch or (universal and start is None)
    if start is not None and fresh:
        raise click.UsageError(f"--from and {'--tutorial' if tutorial else '--from-scratch'} exclude each other")
    require("tensorflow", "train")
    replaced = replaced_model(out, force=force, resumes=universal)
    before = None if fresh else load_artefact(start or shipped("models/reference"))
    shape = wanted_shape(before, block_size=block_size, blocks=blocks, units=units, hidden=hidden)
    if universal:
        train_universal_model(recordings, options, out, before, shape, holdout, given, budget, batches, as_json=as_json)
        warn(orphans(replaced))
        return
    recipe = replace(TUTORIAL if tutorial else Recipe() if fresh else CONTINUED, **given)
    samples = (shape.window_blocks + 2) * shape.block_samples
    purpose = f"to train on windows of {shape.window_blocks} blocks of {shape.block_samples}"
    described = open_described(recordings, options, samples, purpose)
    refuse_quantities(described, "train")
    click.echo(layer_table(shape), err=True)
    if before is not None:
        click.echo(f"continues with {before.path.name}, sha256 {before.sha256[:16]}", err=True)
    with training_shown() as bar:
        artefact = run_training(
            [(each.recording, each.recording.load()) for each in described],
            shape,
            recipe,
            holdout,
            before.manifest.scaling.time_constant_blocks if before else TIME_CONSTANT_BLOCKS,
            out,
            partial(_show, bar),
            before,
            warn,
        )
    show_result(artefact, out, as_json=as_json)
    warn(orphans(replaced))


def _refuse_beside_learned(recordings: tuple[str, ...], out: Path | None, *, universal: bool, fresh: bool) -> None:
    """Refuse what does not go with ``--learned``."""
    if recordings or out is not None or universal or fresh:
        raise click.UsageError(
            "--learned goes without RECORDING, --out, --universal, --tutorial and --from-scratch: it continues with "
            "the model in use, on what the daemon sampled, and writes to the state directory"
        )


def replaced_model(out: Path, *, force: bool, resumes: bool) -> str:
    """The SHA-256 of the model that the training will replace; empty if there is none.

    Args:
        out: where the new model goes.
        force: whether the user gave ``--force``.
        resumes: whether the training goes on with a checkpoint that lies beside the model.

    Raises:
        ConfigurationError: a model would be replaced without ``--force``.
    """
    from monitor.errors import MonitorError
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.training.checkpoint import checkpoint_of

    if not (out / "manifest.json").is_file():
        return ""
    if not (resumes and checkpoint_of(out).exists()):
        refuse_existing(out, force=force, depends="every calibration made with this model would be refused")
    try:
        return load_artefact(out).sha256
    except MonitorError:  # a damaged model has no calibrations that could be used
        return ""


def orphans(replaced: str) -> str:
    """What a user of the model that was replaced must do; empty if there was none."""
    if not replaced:
        return ""
    return (
        f"calibrations made with the model that was replaced, sha256 {replaced[:16]}, are refused now: calibrate again"
    )


def wanted_shape(
    before: "Artefact | None", *, block_size: int | None, blocks: int | None, units: int | None, hidden: int | None
) -> "Shape":
    """The shape of the network: that of the model ``before``, or the default one, with the options that are given.

    Raises:
        ConfigurationError: an option would change the sizes of the weights that the training continues with.
    """
    from monitor.errors import ConfigurationError
    from monitor.model.network import Shape

    old = before.manifest.shape if before else Shape()
    shape = Shape(
        block_samples=block_size or old.block_samples,
        window_blocks=blocks or old.window_blocks,
        units=(units, units) if units else old.units,
        hidden=hidden or old.hidden,
    )
    if before and shape.weight_shapes != old.weight_shapes:
        first, second = old.units
        raise ConfigurationError(
            f"train: the model {before.path.name}, with which the training continues, has blocks of "
            f"{old.block_samples} samples, LSTM layers of {first} and {second} units, and a dense layer of "
            f"{old.hidden}; leave out --block-size, --units and --hidden, or start with fresh weights: --from-scratch"
        )
    return shape


def _show(bar: Bar | None, told: "Progress") -> None:
    text = f"epoch {told.epoch}/{told.epochs}  loss {told.loss:.4f}"
    speed = f"{told.windows_per_s:,.0f} windows/s"
    if bar is not None:
        bar(told.fraction, f"{text}  {speed}")
    elif told.epoch_over:
        validation = "" if told.validation_loss is None else f"  validation {told.validation_loss:.4f}"
        click.echo(f"{text}{validation}  {speed}  {told.remaining_s:.0f} s left", err=True)
