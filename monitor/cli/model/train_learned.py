"""``train --learned``: trains a plant's own model on what the daemon sampled, and has it taken if it foresees more.

The daemon runs this very command. It asks for nothing: where channels have baselines of the model in use, which they
would lose, the own model is only offered, and ``--force`` takes it.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.model.training_shown import training_shown
from monitor.cli.warning import warn

if TYPE_CHECKING:
    from monitor.model.artefact.artefact import Artefact
    from monitor.model.own.state import OwnState
    from monitor.model.training.training import Recipe


def train_learned(
    place: Path, base: "Artefact | None", recipe: "Recipe", show: Callable[..., None], *, force: bool, as_json: bool
) -> None:
    """Train, judge and take or offer the own models of a state directory.

    Args:
        place: the state directory, or the folder of one own model.
        base: the model to start from; None: the one that was in use when samples were taken.
        recipe: settings of the training.
        show: shows the progress, with a bar or None.
        force: whether channels may lose their baselines, and a taken model may be replaced.
        as_json: whether to print one JSON document.

    Raises:
        ConfigurationError: nothing was sampled there.
        MonitorError: what was sampled is too little, or the outcome cannot be written.
    """
    from monitor.errors import ConfigurationError
    from monitor.model.own.state import FILE, FOLDER, read_state, training_locked, write_state

    folders = [place] if (place / FILE).is_file() else sorted(file.parent for file in place.glob(f"{FOLDER}/*/{FILE}"))
    if not folders:
        raise ConfigurationError(
            f"--learned {place}: nothing was sampled there; expected the state_dir of a daemon that runs with "
            "learning: {enabled: true, model: own}"
        )
    found = []
    for folder in folders:
        with training_locked(folder, lambda: click.echo("waits for another training to end", err=True)):
            state = read_state(folder)
            assert state is not None  # noqa: S101 - it was there, and is only replaced
            after = _outcome(folder, state, base, recipe, show, force=force)
            if after != state:
                write_state(folder, after)
            _tidy(folder, after)
        found.append(after)
        if not as_json:
            click.echo(_text(folder, after))
    if as_json:
        click.echo(json.dumps({"models": [after.model_dump(mode="json") | {"gain": after.gain} for after in found]}))


def _outcome(
    folder: Path,
    state: "OwnState",
    base: "Artefact | None",
    recipe: "Recipe",
    show: Callable[..., None],
    *,
    force: bool,
) -> "OwnState":
    """What becomes of the own model in a folder."""
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.own.state import Phase

    own = state.directory(folder)
    if own is not None and state.phase is Phase.OFFERED and force:
        load_artefact(own)
        return state.model_copy(update={"phase": Phase.TAKEN})
    if state.phase is Phase.TAKEN and not force:
        return state
    before = base or load_artefact(Path(state.base))
    made, figures = _train(folder, before, recipe, show)
    state = state.model_copy(update={"base": str(before.path.absolute()), "base_sha256": before.sha256, **figures})
    if made is None:
        return state.model_copy(update={"phase": Phase.DECLINED, "sha256": None})
    phase = Phase.OFFERED if _baselines(folder, before.sha256) and not force else Phase.TAKEN
    return state.model_copy(update={"phase": phase, "sha256": made})


def _train(
    folder: Path, base: "Artefact", recipe: "Recipe", show: Callable[..., None]
) -> tuple[str | None, dict[str, Any]]:
    """Train and judge; returns the hash of the own model, None if it does not foresee more, and the figures."""
    from monitor.errors import MonitorError
    from monitor.extras import require
    from monitor.model.own.samples import read_samples
    from monitor.model.training.own import judge, train_own

    sampled = read_samples(folder)
    require("tensorflow", "train --learned")
    seconds = sum(each.stretches.size / each.sampling_rate_hz for each in sampled)
    click.echo(f"{folder}: {len(sampled)} channels, {seconds:.0f} s of samples", err=True)
    candidate = folder / "candidate"
    try:
        with training_shown() as bar:
            own = train_own(sampled, base, candidate, partial(show, bar), recipe, warn)
        if own.manifest.training["interrupted"]:
            raise MonitorError("train --learned: the training was stopped, nothing is decided; run it again")
        judged = judge(sampled, own, base, partial(click.echo, err=True))
        if judged.better:
            target = folder / f"model-{own.sha256[:12]}"
            shutil.rmtree(target, ignore_errors=True)
            candidate.rename(target)
    except OSError as error:
        raise MonitorError(f"{candidate}: {error.strerror or error}; check folder and free space") from error
    finally:
        shutil.rmtree(candidate, ignore_errors=True)
    figures = {
        "channels": judged.channels,
        "foreseen": judged.foreseen,
        "foreseen_before": judged.foreseen_before,
        "reason": "",
    }
    return own.sha256 if judged.better else None, figures


def _tidy(folder: Path, state: "OwnState") -> None:
    """Delete models that the state does not name."""
    for model in folder.glob("model-*"):
        if model != state.directory(folder):
            shutil.rmtree(model, ignore_errors=True)


def _baselines(folder: Path, model_sha256: str) -> int:
    """How many channels have a baseline of the model in use."""
    import time

    from monitor.runtime.baselines.store import Store

    histories = Store(folder.parents[1], time.time).histories
    return sum(1 for one in histories if one.baseline and one.baseline.model_sha256 == model_sha256)


def _text(folder: Path, state: "OwnState") -> str:
    from monitor.model.own.state import Phase

    after = {
        Phase.TAKEN: "it is taken; a daemon with learning.model: own uses it from now on",
        Phase.DECLINED: "the model in use stays",
        Phase.OFFERED: (
            f"{_baselines(folder, state.base_sha256)} channels have baselines of the model in use and would learn "
            "anew; --force takes it"
        ),
    }
    return f"{state.model}: {state.judged}; {after[state.phase]}"
