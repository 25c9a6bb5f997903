"""The figures of all channels in arrays with one row each, for the metrics and the page.

Each board is read once for all of its channels, and all figures of a channel come from one batch. A missing figure is
NaN. A silent channel has no figures, but keeps its alarm state if that is not ok: a machine that was in alarm when its
sensor died is still in alarm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import AnyArray, Bool, Float32, Float64
from monitor.core.diagnosis.figures import zone
from monitor.core.scoring.alarm import State
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.core.scoring.plausibility import REFUSALS, Refusal
from monitor.runtime.channel_rows import ChannelRows
from monitor.runtime.intake.channel import Channel, ChannelState
from monitor.runtime.web.view import View

FIGURES = (
    "score", "alarm_state", "gap", "gap_ratio", "gap_whitened", "rms", "peak", "coverage", "condition_distance",
    "velocity_rms", "crest_factor", "kurtosis", "peak_to_peak", "record_s",
)  # fmt: skip
"""Figures of an interval, and of a record (the last line), as the boards name them."""

REASONS = (None, *REFUSALS)
"""Why an interval has no score, by code; the first: it has one."""

NO_CALIBRATION = "no_calibration"
"""Why a channel is unusable that has none and learns none; the other reasons are refusals."""


@dataclass(frozen=True)
class ChannelTable:
    """The figures of n channels at one instant; every array has a row for each."""

    channels: tuple[Channel, ...]
    """The channels, in order of their first appearance."""
    figures: dict[str, Float64]
    """(n,) each of :data:`FIGURES`, by name; NaN: missing."""
    last_figures: dict[str, Float64]
    """The same without the silence: of a silent channel, those of its last interval."""
    evidence: dict[str, Float64]
    """(n,) score of each kind of evidence alone, by kind; NaN: missing."""
    band_hz: Float64
    """(n, 2) edges of the frequency band that stands out most; NaN: none does."""
    times_healthy: Float64
    """(n, 2) RMS, and amplitude of the whitened residual in that band, over what is healthy; NaN: not known."""
    refusal: list[str | None]
    """Why the last interval was not scored; None: it was scored."""
    age_s: Float64
    """Seconds since the last samples."""
    silent: Bool
    """(n,) whether a channel has sent nothing for longer than ``scoring.silent_after``, or its sender has ended."""
    state: list[ChannelState]
    """What each channel does."""
    reason: list[str | None]
    """Why a channel is unusable: a refusal, or :data:`NO_CALIBRATION`; None: it is usable."""
    conditions: dict[str, Float64]
    """(n,) value of each measured quantity, by name; NaN: the channel has none, or it is unknown or too old."""
    stale: dict[str, Bool]
    """(n,) whether a value of the quantity came and is too old."""
    columns: dict[str, AnyArray]
    """Further columns of the boards, unchanged, and ``blocks_received``."""

    def zone(self, place: int) -> int | None:
        """The zone of a channel's velocity, 0 for A to 3 for D; None without a velocity, or without limits."""
        zones, velocity_mps = self.channels[place].sensor.machine.zones, float(self.figures["velocity_rms"][place])
        return None if zones is None or math.isnan(velocity_mps) else zone(velocity_mps, zones.limits_mps)


EMPTY = ChannelTable(
    (),
    {name: np.zeros(0) for name in FIGURES},
    {name: np.zeros(0) for name in FIGURES},
    {kind.value: np.zeros(0) for kind in KINDS},
    np.zeros((0, 2)),
    np.zeros((0, 2)),
    [],
    np.zeros(0),
    np.zeros(0, np.bool_),
    [],
    [],
    {},
    {},
    {"weights": np.zeros((0, MOST_PROTOTYPES), np.float32)},
)
"""A table without channels."""


def read_table(view: View, places: ChannelRows | None = None, more: Sequence[str] = ()) -> ChannelTable:
    """Read the boards.

    Args:
        view: the data to read.
        places: rows of the wanted channels; None: all channels.
        more: names of further columns of the boards to read.
    """
    places = places or ChannelRows(tuple(view.ingest.channels.values()), view.lanes)
    channels = places.channels
    seen = places.read((*FIGURES, "evidence", "band", "times_healthy", "refusal", *more))
    figures = {name: seen[name].astype(np.float64) for name in FIGURES}
    evidence = {kind.value: seen["evidence"][:, number].astype(np.float64) for number, kind in enumerate(KINDS)}
    rates_hz = np.array([channel.sensor.sampling_rate_hz for channel in channels])
    age_s, silent = _silence(view, channels)
    state = figures["alarm_state"]
    state[state < 0] = np.nan
    left_in_alarm = state > State.OK
    refusal = [REASONS[code] for code in seen["refusal"].tolist()]
    conditions, stale = places.conditions(view.now_s)
    states = [_state(*one) for one in zip(channels, silent.tolist(), refusal, strict=True)]
    last_figures = {name: values.copy() for name, values in figures.items()}
    for name, values in (*figures.items(), *evidence.items(), *conditions.items()):
        values[silent & ~left_in_alarm if name == "alarm_state" else silent] = np.nan
    return ChannelTable(
        channels,
        figures,
        last_figures,
        evidence,
        seen["band"] * rates_hz[:, None] / 2,
        np.where(silent[:, None], np.nan, seen["times_healthy"]),
        refusal,
        age_s,
        silent,
        states,
        [_reason(*one) for one in zip(states, refusal, strict=True)],
        conditions,
        stale,
        {name: seen[name] for name in (*more, "blocks_received")},
    )


def read_states(view: View, places: ChannelRows) -> tuple[list[ChannelState], list[str | None]]:
    """What each channel does, and why it is unusable; the same as in a table, for less work."""
    refusal = [REASONS[code] for code in places.read(("refusal",))["refusal"].tolist()] if places.channels else []
    silent = _silence(view, places.channels)[1].tolist()
    states = [_state(*one) for one in zip(places.channels, silent, refusal, strict=True)]
    return states, [_reason(*one) for one in zip(states, refusal, strict=True)]


def weights_of(channels: Sequence[Channel], silent: Bool, weights: Float32) -> list[list[float] | None]:
    """Where each machine is among its learned conditions, by the column ``weights`` of the boards, (n, places).

    Returns:
        For each channel the weights of its conditions that explain the last interval, in the order of its calibration,
        with the sum 1; None: it is silent, has no calibration, or the interval has no score.
    """
    found: list[list[float] | None] = []
    for channel, no_samples, row in zip(channels, silent.tolist(), np.round(weights, 3).tolist(), strict=True):
        own = [] if channel.calibration is None or no_samples else row[: len(channel.calibration.prototypes)]
        found.append(None if not own or any(map(math.isnan, own)) else own)
    return found


def read_weights(view: View, channels: Sequence[Channel]) -> list[list[float] | None]:
    """The same of some channels now."""
    if not channels:
        return []
    weights = ChannelRows(channels, view.lanes).read(("weights",))["weights"]
    return weights_of(channels, _silence(view, channels)[1], weights)


def _silence(view: View, channels: Sequence[Channel]) -> tuple[Float64, Bool]:
    """Seconds since the last samples of each channel, and whether it is silent."""
    age_s = view.now_s - np.array([channel.last_sample_s for channel in channels])
    return age_s, (age_s > view.silent_after_s) | np.array([channel.away for channel in channels], np.bool_)


def _state(channel: Channel, silent: bool, refusal: str | None) -> ChannelState:
    """What a channel does, with the reason why its last interval has no score."""
    if silent:
        return ChannelState.SILENT
    if refusal == Refusal.STOPPED:
        return ChannelState.STOPPED
    if refusal == Refusal.UNKNOWN_CONDITION and not channel.provisional:
        return ChannelState.UNKNOWN_CONDITION
    if (refusal is not None and refusal != Refusal.UNKNOWN_CONDITION) or not (channel.calibration or channel.learning):
        return ChannelState.UNUSABLE
    if channel.calibration is None:
        return ChannelState.LEARNING
    return ChannelState.PROVISIONAL if channel.provisional else ChannelState.WATCHED


def _reason(state: ChannelState, refusal: str | None) -> str | None:
    """Why a channel is unusable; None: it is usable."""
    return (refusal or NO_CALIBRATION) if state is ChannelState.UNUSABLE else None
