"""What commands show of a training: its progress while it runs, then the table of layers and the results."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from monitor.model.artefact.artefact import Artefact


def layer_table(shape: Any) -> str:
    """A table of the layers with their number of parameters, and the total."""
    rows = [*shape.layers, ("total", shape.parameters)]
    return "\n".join(f"{name:<8} {count:>10,}" for name, count in rows)


def report_text(training: dict[str, Any]) -> str:
    """The results of the training as text."""
    from monitor.model.artefact.card import FORECASTERS, quarters, verdict

    before, universal = training.get("started_from"), training.get("universal")
    lines = [f"continued with {before['name']}, sha256 {before['sha256'][:16]}"] if before else []
    if not universal:  # which has no epochs, but a hundred reports
        lines.append("loss by epoch: " + ", ".join(f"{loss:.4f}" for loss in training["losses"]))
    lines.append(f"trained in {training['seconds']:.1f} s" + (", stopped early" if training["interrupted"] else ""))
    if universal:
        found = universal["random_machines"]
        lines.append(
            f"{found['count']} random machines that it was not trained on: median gap ratio "
            f"{found['gap_ratio_median']:.3f} (AR models fitted to each: {found['linear_own_median']:.3f}), largest "
            f"{found['gap_ratio_max']:.3f}; better than its own AR model on {found['better_than_linear_own']:.0%}"
        )
    for each in training["report"]:
        ratios = each["gap_ratio"]
        lines.append(f"{each['name']}: held-out gap ratio over {each['blocks']} blocks")
        lines += [f"  {label:<20} {ratios[name]:.4f}" for name, label in FORECASTERS.items()]
        lines.append(f"  by quarter of block  {quarters(each['by_position']['network'])}")
        lines.append(f"  {verdict(ratios)}")
    if training["recordings"] and not training["report"]:
        lines.append("no report: too little signal was held out; see --holdout")
    return "\n".join(lines)


def show_result(artefact: "Artefact", out: Path, *, as_json: bool, hint: str = "") -> None:
    """Print the results of a training and where its model is, as one JSON document or as text that ends in ``hint``."""
    training = artefact.manifest.training
    if as_json:
        click.echo(json.dumps({"model": str(out), "sha256": artefact.sha256, **training}))
    else:
        click.echo(report_text(training))
        click.echo(f"{out}: model written, sha256 {artefact.sha256[:16]}{hint}")


Bar = Callable[[float, str], None]
"""Moves a progress bar to a fraction, and shows a text beside it."""


@contextmanager
def training_shown() -> Iterator[Bar | None]:
    """What a training runs in: a progress bar on a terminal, None elsewhere. SIGTERM stops a training like Ctrl-C."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with _bar() if sys.stderr.isatty() else nullcontext() as bar:
            yield bar
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _bar() -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)
