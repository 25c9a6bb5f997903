"""What is written of one interval of a channel: its place in the stream, its figures, and who wrote it.

Many are made at once: figures are rounded as arrays, and only the assembly is done for each interval. The fields and
their meanings are those of :class:`IntervalDocument`; ``config/scores.schema.json`` is made from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict

from monitor.core.arrays import AnyArray, Float64
from monitor.core.scoring.alarm import State
from monitor.core.scoring.kinds import KINDS
from monitor.core.scoring.plausibility import REFUSALS, Refusal
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.board import FIGURES
from monitor.runtime.rounding import significant

DIGITS = 6
"""Significant digits of a figure. Fewer: two daemons' scores of one interval may differ. More: longer records."""

PLAIN = (*FIGURES, "coverage")
"""Figures that are written under the names that they have on the boards."""

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
    """Index of the interval's first sample in the channel's stream. With ``end_sample`` it names the interval: the
    stream begins when a daemon takes the channel up, and missing samples are counted."""
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
    columns: dict[str, list[Any]] = {name: significant(intervals[name], DIGITS) for name in PLAIN}
    columns["rms_times_healthy"] = significant(intervals["times_healthy"][:, 0], DIGITS)
    columns["band_times_healthy"] = significant(intervals["times_healthy"][:, 1], DIGITS)
    nyquists_hz = np.array([channel.sensor.sampling_rate_hz / 2 for channel in channels])
    low, high = (significant(edge * nyquists_hz, DIGITS) for edge in intervals["band"].T)
    evidence = [significant(values, DIGITS) for values in intervals["evidence"].T]
    places = (intervals["first_sample"].tolist(), intervals["end_sample"].tolist())
    verdicts = (intervals["alarm_state"].tolist(), intervals["refusal"].tolist())
    weights = np.round(intervals["weights"], 3).tolist()
    rows = zip(
        channels, ends_s.tolist(), *places, *verdicts, zip(low, high, strict=True), zip(*evidence, strict=True),
        weights, zip(*columns.values(), strict=True),
        strict=True,
    )  # fmt: skip
    made = []
    for channel, end_s, first, end, state, refusal, band, kinds, weight, figures in rows:
        own = [] if channel.calibration is None else weight[: len(channel.calibration.prototypes)]
        made.append(
            msgspec.json.encode(
                {
                    "channel": channel.name,
                    "labels": dict(zip(label_names, channel.labels, strict=True)),
                    "time": datetime.fromtimestamp(end_s, UTC).isoformat(timespec="milliseconds"),
                    "first_sample": first,
                    "end_sample": end,
                    "refusal": REASONS[refusal],
                    "state": STATES[state],
                    "provisional": channel.provisional,
                    **dict(zip(columns, figures, strict=True)),
                    "band_hz": None if None in band else band,
                    "evidence": dict(zip(KINDS, kinds, strict=True)),
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
