"""Baselines as JSON, for HTTP and the command: a short document a channel, or all of it with the learned conditions."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from monitor.core.scoring.interval.bands import layout
from monitor.errors import ArtefactError
from monitor.runtime.baselines.history import Baseline, Change, History, given
from monitor.runtime.baselines.store import Store

MOST_DETAILED = 100
"""Most channels of which everything is told at once. More: a document of megabytes."""


class Profiles(BaseModel):
    """What each learned condition holds in each band, beside the mean of all conditions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    edges_hz: list[float]
    """(bands + 1,) edges of the bands."""
    level_db: list[list[float]]
    """For each condition (bands,) energy of the whitened residual in dB; 0: the mean over all that was learned."""
    values: dict[str, list[float]]
    """The measured quantities of each condition."""
    weights: list[float] | None
    """Weights of the conditions that explain the last interval, with the sum 1: where the machine is among them; null:
    that interval has no score, or no daemon was asked."""


class Summary(BaseModel):
    """One channel and its baselines, as the functions of this module tell it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Values of its labels with ``/`` between them."""
    labels: dict[str, str]
    """Its labels."""
    state: Literal["none", "configured", "provisional", "locked"]
    """``configured``: the configuration names a calibration file; ``provisional``: it still learns."""
    configured: str | None
    """The calibration file that the configuration names."""
    problem: str | None
    """Why its baseline cannot be used."""
    baseline: Baseline | None
    """The current one."""
    kept: list[int]
    """Numbers of the baselines that are kept."""
    request: Change | None
    """Learning that was asked for and is not done."""
    changed: Change | None
    """The latest change."""
    baselines: list[Baseline] | None = None
    """With details: all that are kept, the oldest first."""
    changes: list[Change] | None = None
    """With details: the latest changes, the oldest first."""
    profiles: Profiles | None = None
    """With details: the learned conditions."""


def summaries(store: Store, known: Mapping[str, dict[str, str]], configured: Mapping[str, str]) -> list[dict[str, Any]]:
    """One short document for each channel.

    Args:
        store: the baselines.
        known: labels of the channels, by name.
        configured: calibration files that a configuration names, by the channel's name.
    """
    return [_summary(store, name, given(labels), configured.get(name)) for name, labels in sorted(known.items())]


def detailed(known: Mapping[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The channels of which everything may be told at once, at most :data:`MOST_DETAILED`."""
    return dict(sorted(known.items())[:MOST_DETAILED])


def details(
    store: Store,
    known: Mapping[str, dict[str, str]],
    configured: Mapping[str, str],
    weights: Mapping[str, list[float] | None] | None = None,
) -> list[dict[str, Any]]:
    """The same with all baselines, changes and learned conditions, for at most :data:`MOST_DETAILED` channels.

    Args:
        store: the baselines.
        known: labels of the channels, by name.
        configured: calibration files that a configuration names, by the channel's name.
        weights: weights of the conditions that explain the present, by the channel's name; None: not known.
    """
    found = summaries(store, detailed(known), configured)
    for document in found:
        history = store.history(document["labels"])
        if history is not None:
            document["baselines"] = [one.model_dump(mode="json") for one in history.baselines]
            document["changes"] = [one.model_dump(mode="json") for one in history.changes]
            document["profiles"] = profiles(store, history, (weights or {}).get(document["name"]))
    return found


def profiles(store: Store, history: History, weights: list[float] | None) -> dict[str, Any] | None:
    """The learned conditions as a picture: what each band holds, beside the mean of all conditions; None: no baseline.

    Args:
        store: the baselines.
        history: the channel's.
        weights: weights of the conditions that explain the present; those of another calibration are left out.

    Returns:
        ``edges_hz``: (bands + 1,) edges of the bands; ``level_db``: for each condition (bands,) energy of the
        whitened residual in dB, 0: the mean over all that was learned; ``values``: the measured quantities of each;
        ``weights``: where the machine is among them.
    """
    if history.baseline is None:
        return None
    try:
        calibration = store.calibration_file(history, history.baseline).of_channel(history.labels)
    except ArtefactError:
        return None
    of = layout(calibration.block_samples)
    level_db = 10.0 / np.log(10.0) * calibration.healthy[:, : of.bands]
    edges_hz = of.edges * (calibration.sampling_rate_hz / 2 / calibration.block_samples)
    return {
        "edges_hz": [round(edge, 1) for edge in edges_hz.tolist()],
        "level_db": np.round(level_db, 2).tolist(),
        "values": dict(zip(calibration.quantities, calibration.values.T.tolist(), strict=True)),
        "weights": weights if weights is not None and len(weights) == len(calibration.prototypes) else None,
    }


def _summary(store: Store, name: str, labels: dict[str, str], configured: str | None) -> dict[str, Any]:
    history = store.history(labels)
    baseline = None if history is None else history.baseline
    state = "none"
    if configured is not None:
        state = "configured"
    elif baseline is not None:
        state = "provisional" if baseline.provisional else "locked"
    return {
        "name": name,
        "labels": labels,
        "state": state,
        "configured": configured,
        "problem": None if history is None else store.problems.get(history.slug),
        "baseline": None if baseline is None else baseline.model_dump(mode="json"),
        "kept": [] if history is None else [one.number for one in history.baselines],
        "request": None if history is None or history.request is None else history.request.model_dump(mode="json"),
        "changed": history.changes[-1].model_dump(mode="json") if history is not None and history.changes else None,
    }
