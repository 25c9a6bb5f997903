"""What commands show of a training: its progress while it runs, then the table of layers and the results."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.progress import Bar, progress_bar
from monitor.cli.warning import warn

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
    from monitor.model.artefact.card import advice

    training = artefact.manifest.training
    if as_json:
        click.echo(json.dumps({"model": str(out), "sha256": artefact.sha256, **training}))
    else:
        click.echo(report_text(training))
        click.echo(f"{out}: model written, sha256 {artefact.sha256[:16]}{hint}")
    for each in training["report"]:
        if advised := advice(each["gap_ratio"]):
            warn(f"{each['name']}: {advised}")


@contextmanager
def training_shown() -> Iterator[Bar | None]:
    """What a training runs in: a progress bar on a terminal, None elsewhere. SIGTERM stops a training like Ctrl-C."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with progress_bar("training") as bar:
            yield bar
    finally:
        signal.signal(signal.SIGTERM, before)
