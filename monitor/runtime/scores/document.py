"""What is written of one interval of a channel: its place in the stream, its figures, and who wrote it.

Many are made at once: figures are rounded as arrays, and only the assembly is done for each interval. The fields and
their meanings are those of :class:`IntervalDocument`; ``config/scores.schema.json`` is made from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict

from monitor.core.arrays import AnyArray, Float64
from monitor.core.scoring.alarm import State
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.core.scoring.plausibility import REFUSALS, Refusal
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.board import FIGURES
from monitor.runtime.rounding import significant

DIGITS = 6
"""Significant digits of a figure. Fewer: two daemons' scores of one interval may differ. More: longer records."""

PLAIN = (*FIGURES, "coverage")
"""Figures that are written under the names that they have on the boards."""

SINGLE = (*PLAIN, "rms_times_healthy", "band_times_healthy")
"""Names of the figures that are one number each, in the order in which they are written."""

BAND = len(SINGLE)
"""Where the edges of the band follow; behind them follows the evidence."""

STATES = {state.value: state.name.lower() for state in State}

REASONS = (None, *(str(refusal) for refusal in REFUSALS))


class IntervalDocument(BaseModel):
    """One interval of a channel that has a calibration: its score, or why it has none.

    Later versions may have further fields.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    channel: str
    """Name of the channel: values of its labels with ``/`` between them."""
    labels: dict[str, str]
    """Its labels."""
    time: datetime
    """When the last sample of the interval came, ISO 8601; also the time of the record."""
    first_sample: int
    """Index of the interval's first sample in the channel's stream. With ``end_sample`` it names the interval. The
    stream begins when a daemon takes the channel up, and goes on in the next daemon with ``kafka.state_topic``."""
    end_sample: int
    """Index after its last sample."""
    score: float | None
    """Score; 1 is the limit. Null: the interval was refused."""
    refusal: Refusal | None
    """Why it has no score; null: it has one."""
    state: Literal["ok", "warning", "alarm"]
    """Alarm state of the channel after this interval."""
    provisional: bool
    """Whether the channel learns on, and its limits are provisional."""
    gap: float | None
    """RMS of measured minus forecast, in m/s²."""
    gap_ratio: float | None
    """Energy of measured minus forecast as a share of the signal's energy."""
    gap_whitened: float | None
    """Energy of the whitened residual; about 1 on a healthy machine."""
    rms: float | None
    """RMS of the samples, in m/s²."""
    peak: float | None
    """Largest absolute sample, in m/s²."""
    coverage: float | None
    """Share of the received blocks that were scored since the interval before."""
    condition_distance: float | None
    """How far the measured quantities are outside what was learned: 0 inside, 1 at the margin; null: nothing is known
    or learned of them."""
    rms_times_healthy: float | None
    """RMS over that of the healthy machine under the present conditions; null without a score."""
    band_times_healthy: float | None
    """Amplitude in the band that stands out most over the healthy one; null without a score."""
    band_hz: tuple[float, float] | None
    """Edges of that band; null without a score."""
    evidence: dict[str, float | None]
    """Score of each kind of evidence alone."""
    condition_weights: list[float] | None
    """Weights of the learned conditions that explain the interval, in their order; null without a score."""
    writer: str
    """The daemon that wrote it: its ``kafka.client_id``."""
    generation: int
    """Generation of the writer in its consumer group when the interval was scored. Of two records about one channel
    the owner's is higher: leave a record out that is lower than one before it. -1: the writer was no member."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes."""

    name: str
    """The daemon's client id."""
    generation: int
    """Its generation in its consumer group."""


def documents(
    intervals: AnyArray, channels: Sequence[Channel], label_names: tuple[str, ...], ends_s: Float64, author: Author
) -> list[bytes]:
    """The documents of intervals, as JSON.

    Args:
        intervals: (n,) of :data:`monitor.runtime.lanes.closed.CLOSED`.
        channels: the channel of each.
        label_names: names of the channels' labels.
        ends_s: (n,) UNIX seconds of their ends.
        author: who writes.
    """
    nyquists_hz = np.array([channel.sensor.sampling_rate_hz / 2 for channel in channels])
    table = np.column_stack(
        [
            *(intervals[name] for name in PLAIN),
            intervals["times_healthy"],
            intervals["band"] * nyquists_hz[:, None],
            intervals["evidence"],
        ]
    )
    width, figures = table.shape[1], significant(table.ravel(), DIGITS)  # all at once: each call takes 4 µs
    rows = zip(
        channels,
        np.datetime_as_string(np.round(ends_s * 1000).astype("datetime64[ms]")).tolist(),
        intervals["first_sample"].tolist(),
        intervals["end_sample"].tolist(),
        intervals["alarm_state"].tolist(),
        intervals["refusal"].tolist(),
        np.round(intervals["weights"], 3).tolist(),
        range(0, len(figures), width),
        strict=True,
    )
    made = []
    for channel, time, first, end, state, refusal, weights, at in rows:
        low, high = figures[at + BAND : at + BAND + 2]
        own = [] if channel.calibration is None else weights[: len(channel.calibration.prototypes)]
        made.append(
            msgspec.json.encode(
                {
                    "channel": channel.name,
                    "labels": dict(zip(label_names, channel.labels, strict=True)),
                    "time": time + "+00:00",
                    "first_sample": first,
                    "end_sample": end,
                    "refusal": REASONS[refusal],
                    "state": STATES[state],
                    "provisional": channel.provisional,
                    **dict(zip(SINGLE, figures[at : at + BAND], strict=True)),
                    "band_hz": None if low is None or high is None else (low, high),
                    "evidence": dict(zip(KINDS, figures[at + BAND + 2 : at + width], strict=True)),
                    "condition_weights": own if own and not math.isnan(own[0]) else None,
                    "writer": author.name,
                    "generation": author.generation,
                }
            )
        )
    return made


def schema() -> bytes:
    """The JSON schema of a document, as ``config/scores.schema.json`` has it."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **IntervalDocument.model_json_schema()}
    for part in (made, *made["$defs"].values(), *made["properties"].values()):
        part.pop("title", None)
        if "description" in part:
            part["description"] = " ".join(part["description"].replace("``", "`").split())
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"
