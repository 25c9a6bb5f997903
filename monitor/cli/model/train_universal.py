"""``train --universal``: trains a reference model on random machines, and reports it on machines that it never saw."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.model.training_shown import show_result, training_shown
from monitor.cli.progress import Bar
from monitor.cli.warning import warn
from monitor.recording.options import RecordingOptions

if TYPE_CHECKING:
    from monitor.model.artefact.artefact import Artefact
    from monitor.model.network import Shape
    from monitor.model.training.universal import UniversalProgress

OPTIONS = {"seed": "seed", "learning_rate": "learning_rate", "batch": "sequences"}
"""Options of ``train`` that apply, with the setting of the recipe."""


def train_universal_model(
    recordings: tuple[str, ...],
    options: RecordingOptions,
    out: Path,
    start: "Artefact | None",
    shape: "Shape",
    holdout: float,
    given: dict[str, Any],
    budget_s: float | None,
    batches: int | None,
    *,
    as_json: bool,
) -> None:
    """Run the command.

    Args:
        recordings: as on the command line; may be empty.
        options: of the recordings.
        out: the model directory.
        start: the model to start from; None: fresh weights.
        shape: dimensions of the network.
        holdout: share of each recording that is held out.
        given: the options of the recipe that the user gave.
        budget_s: seconds to train.
        batches: length of the training.
        as_json: print one JSON document.

    Raises:
        click.UsageError: an option does not apply, or the length is missing.
        ConfigurationError: the budget is too short.
    """
    from monitor.errors import ConfigurationError
    from monitor.model.training.signal_pool import shortest_record
    from monitor.model.training.universal import LEAST_BUDGET_S
    from monitor.model.training.universal_recipe import CONTINUED_UNIVERSAL, UniversalRecipe
    from monitor.model.training.universal_run import run_universal
    from monitor.recording.described import open_described, refuse_quantities

    if foreign := sorted(given.keys() - OPTIONS.keys()):
        names = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise click.UsageError(f"--universal: {names} does not apply to this training")
    if not budget_s and not batches:
        raise click.UsageError(
            "--universal: how long may it train? Give --budget 2h (or --batches to repeat a training)"
        )
    if not batches and budget_s and budget_s < LEAST_BUDGET_S:
        raise ConfigurationError(
            f"train --universal: a budget of {budget_s:g} s is too short to learn anything; give at least "
            f"{LEAST_BUDGET_S:g} s; a useful reference takes an hour or more on two cores"
        )
    recipe = replace(
        UniversalRecipe() if start is None else CONTINUED_UNIVERSAL,
        **{OPTIONS[name]: value for name, value in given.items()},
    )
    described = []
    if recordings:
        purpose = f"for a sequence of {recipe.blocks} blocks"
        described = open_described(recordings, options, shortest_record(recipe.blocks, shape.block_samples), purpose)
        refuse_quantities(described, "train")
    with training_shown() as bar:
        artefact = run_universal(
            [(each.recording, each.recording.load()) for each in described],
            shape,
            recipe,
            holdout,
            out,
            partial(_show, bar),
            budget_s=budget_s,
            batches=batches,
            start=start,
            warn=warn,
        )
    training = artefact.manifest.training
    if training["interrupted"]:
        warn(f"stopped early after {training['seconds']:.0f} s; the same command resumes the training")
    hint = "" if training["interrupted"] else f"; repeat with --batches {training['universal']['batches']}"
    show_result(artefact, out, as_json=as_json, hint=hint)


def _show(bar: Bar | None, told: "UniversalProgress") -> None:
    text = f"batch {told.batch}  loss {told.loss:.4f}  gap ratio {told.gap_ratio:.4f}"
    speed = f"{told.blocks_per_s:,.0f} blocks/s"
    held_out = ""
    if found := told.checked:
        held_out = (
            f"  held out: median {found['gap_ratio_median']:.3f}, "
            f"{found['over_linear_own_median']:.2f} times its own AR, better on {found['better_than_linear_own']:.0%}"
        )
    if bar is not None:
        bar(told.fraction, f"{text}  {speed}")
    if bar is None or held_out:  # the bar stays below the lines
        click.echo(f"{told.fraction:4.0%}  {text}  {speed}  {told.remaining_s:,.0f} s left{held_out}", err=True)
