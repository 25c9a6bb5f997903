"""The messages to the page's browsers about the fleet: everything at first, then only changes.

A message is made once and sent to all clients. Rows are identified by their index in the list of channels. When that
list changes, all clients get everything again. A client that missed a message gets all rows, but no names and no
history, so a slow client cannot cost more than one message each period.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from monitor import __version__
from monitor.core.arrays import Float64
from monitor.core.diagnosis.figures import LEAST_S, velocity_refusal
from monitor.core.learning.condition_fit import MOVING
from monitor.core.learning.sensitivity import advice, stated
from monitor.core.scoring.alarm import State
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.evidence.kinds import IN_WORDS
from monitor.quantities import spoken_duration
from monitor.runtime.intake.channel import Acknowledgement, Channel
from monitor.runtime.rounding import significant
from monitor.runtime.web.page.fleet import Fleet
from monitor.runtime.web.page.stream import Feed, event
from monitor.runtime.web.table import ChannelTable, weights_of
from monitor.runtime.web.view import Service, View

SPARKLINE_POINTS = 60
"""Number of points in a sparkline."""

SPARKLINE_STEP = 2
"""Seconds in a point. Fewer: a fault fills the line at once. More: a new fault takes long to show."""

SPARKLINE_CHANNELS = 2_000
"""Most channels whose history is in the first message; the other sparklines start empty."""

ROWS_A_SECOND = 2_000
"""Most rows sent to each client per second; with more channels messages are less frequent. A row is 50 bytes."""

FRESH_S = 3.0
"""Age of the last samples up to which it is sent as 0, so that a live channel's row does not change just by its age."""

RECENT_SAMPLES = 15
"""Seconds of history in every update of a channel; it covers updates that a client missed."""


class FleetMessages:
    """Makes each message about the fleet once, for all clients."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._feed = Feed()
        self._viewers = 0
        self._generation = -1
        self._rows: list[tuple[Any, ...]] = []
        self._head: dict[str, Any] = {}
        self._label_names: tuple[str, ...] = ()
        self._made: dict[str, bytes] = {}

    def publish(self, view: View, service: Service) -> None:
        """Send all clients what changed since the last message; call it after each sample of history."""
        fleet = self._fleet
        if fleet.samples % max(1, -(-len(fleet.places) // ROWS_A_SECOND)) and self._generation == fleet.generation:
            return
        self._made.clear()
        self._head = {"sample": fleet.samples, "service": service_document(fleet, view, service)}
        self._label_names = view.label_names
        before, self._rows = self._rows, _rows(fleet) if self._viewers else []
        same_rows = self._generation == fleet.generation and len(before) == len(self._rows)
        self._generation = fleet.generation
        if self._viewers:
            pairs = enumerate(zip(before, self._rows, strict=True)) if same_rows else ()
            places = [place for place, (old, new) in pairs if old != new] if same_rows else range(len(self._rows))
            self._feed.publish(self._message("rows", list(places)))

    async def follow(self) -> AsyncGenerator[bytes]:
        """The messages for one client."""
        self._viewers += 1
        try:
            generation, version = self._generation, self._feed.version
            yield self._whole()
            while True:
                newest = await self._feed.newer(version)
                if generation != self._generation:
                    generation = self._generation
                    yield self._whole()
                elif newest == version + 1:
                    yield self._feed.message
                else:
                    yield self._all_rows()
                version = newest
        finally:
            self._viewers -= 1

    def _whole(self) -> bytes:
        if "whole" not in self._made:
            fleet = self._fleet
            self._rows = self._rows or _rows(fleet)
            lines = fleet.sparklines(SPARKLINE_POINTS, SPARKLINE_STEP, min(len(self._rows), SPARKLINE_CHANNELS))
            orders, order_of = label_orders(fleet.table.channels, self._label_names)
            more = {
                "label_names": self._label_names,
                "label_orders": orders,
                "label_order_of": order_of,
                "names": [channel.labels for channel in fleet.table.channels],
                "sparkline_step": SPARKLINE_STEP,
                "sparklines": [significant(line) for line in lines],
            }
            self._made["whole"] = self._message("fleet", list(range(len(self._rows))), more)
        return self._made["whole"]

    def _all_rows(self) -> bytes:
        if "rows" not in self._made:
            self._made["rows"] = self._message("rows", list(range(len(self._rows))))
        return self._made["rows"]

    def _message(self, kind: str, places: list[int], more: dict[str, Any] | None = None) -> bytes:
        rows = [self._rows[place] for place in places]
        return event(kind, self._head | (more or {}) | {"places": places, "rows": rows})


def label_orders(channels: Sequence[Channel], names: tuple[str, ...]) -> tuple[list[list[int]], list[int] | None]:
    """In which orders the labels stand in topics, as positions in ``names``, and which of them each channel has.

    The labels of all channels have one order, while a second sensor's topic may have another. None: all have the first.
    """
    of_sensor = {id(channel.sensor): channel.sensor for channel in channels}
    order_of_sensor = {key: tuple(map(names.index, sensor.label_names)) for key, sensor in of_sensor.items()}
    orders = list(dict.fromkeys(order_of_sensor.values()))
    if len(orders) < 2:
        return [list(order) for order in orders], None
    number = {key: orders.index(order) for key, order in order_of_sensor.items()}
    return [list(order) for order in orders], [number[id(channel.sensor)] for channel in channels]


def _rows(fleet: Fleet) -> list[tuple[Any, ...]]:
    """Score, alarm state, gap ratio, RMS, coverage, age in s, state, its reason, share learned, and who saw the alarm.

    A silent channel keeps the figures of its last interval, so that the last state can be read.
    """
    table = fleet.table
    return list(
        zip(
            significant(table.last_figures["score"]),
            _states(table.figures["alarm_state"]),
            significant(table.last_figures["gap_ratio"]),
            significant(table.last_figures["rms"]),
            significant(table.last_figures["coverage"], 2),
            np.where(table.age_s < FRESH_S, 0, table.age_s).astype(int).tolist(),
            table.state,
            table.reason,
            [None if c.learning is None else round(c.learning.ratio, 2) for c in table.channels],
            [seen and (seen.by, seen.reason, round(seen.at_s)) for seen in _seen(table, slice(None))],
            strict=True,
        )
    )


def _seen(table: ChannelTable, places: slice) -> list[Acknowledgement | None]:
    """Who has seen the alarms of channels; None: nobody, or there is none."""
    in_alarm = (table.figures["alarm_state"][places] > State.OK).tolist()
    return [c.acknowledged if alarm else None for c, alarm in zip(table.channels[places], in_alarm, strict=True)]


def _states(values: Float64) -> list[int | None]:
    return [None if np.isnan(state) else int(state) for state in values.tolist()]


def service_document(fleet: Fleet, view: View, service: Service) -> dict[str, Any]:
    """The state of the service as a whole."""
    return {
        "version": __version__,
        "now_s": round(view.now_s + view.wall_offset_s, 3),
        "broker": service.config.broker.url,
        "connected": view.source.connected,
        "channels": len(view.ingest.channels),
        "channels_not_shown": fleet.beyond_limit,
        "channels_silent": int(fleet.table.silent.sum()),
        "last_sample_age_s": round(float(fleet.table.age_s.min()), 1) if fleet.table.channels else None,
        "rejected": dict(view.ingest.rejected),
        "unready": service.unready(),
        "grafana": service.config.http.grafana_url,
        "models": [asdict(model) for model in view.models],
        "own_models": [asdict(own) for own in view.own_models],
    }


def channels_document(fleet: Fleet, view: View, service: Service) -> dict[str, Any]:
    """The document of ``/api/v1/channels``."""
    return {
        "service": service_document(fleet, view, service),
        "channels": [
            {
                "name": channel.name,
                "labels": dict(zip(view.label_names, channel.labels, strict=True)),
                "model": channel.model,
                "sampling_rate_hz": channel.sensor.sampling_rate_hz,
                "trust": None if channel.calibration is None else channel.calibration.trust,
                **figures,
            }
            for channel, figures in zip(fleet.table.channels, figures_documents(fleet, slice(None)), strict=True)
        ],
    }


def figures_documents(fleet: Fleet, places: slice) -> list[dict[str, Any]]:
    """The latest figures of the channels at ``places``, one document each."""
    table = fleet.table
    columns = {
        "sample": [fleet.samples] * len(table.channels[places]),
        **{name: significant(values[places], 4) for name, values in table.figures.items()},
        "alarm_state": _states(table.figures["alarm_state"][places]),
        "acknowledged": [seen and asdict(seen) for seen in _seen(table, places)],
        "zone": [table.zone(place) for place in range(len(table.channels))[places]],
        "velocity_refusal": [_no_velocity(table, place) for place in range(len(table.channels))[places]],
        "refusal": table.refusal[places],
        "state": table.state[places],
        "state_reason": table.reason[places],
        "condition_weights": weights_of(table.channels[places], table.silent[places], table.columns["weights"][places]),
        "learning": [None if c.learning is None else asdict(c.learning) for c in table.channels[places]],
        "last_sample_age_s": significant(table.age_s[places]),
        "silent": table.silent[places].tolist(),
        "samples_received": [channel.samples_received for channel in table.channels[places]],
        "samples_missing": [channel.samples_missing for channel in table.channels[places]],
    }
    kinds = {name: significant(values[places]) for name, values in table.evidence.items()}
    conditions = [_conditions(table, place) for place in range(len(table.channels))[places]]
    bands = zip(*(significant(edge) for edge in table.band_hz[places].T), strict=True)
    return [
        {
            **dict(zip(columns, row, strict=True)),
            "evidence": dict(zip(kinds, evidence, strict=True)),
            "band_hz": None if None in band else band,
            "conditions": measured,
            "without_conditions": missing,
        }
        for row, evidence, band, measured, missing in zip(
            zip(*columns.values(), strict=True),
            zip(*kinds.values(), strict=True),
            bands,
            conditions,
            [_missing(table, place) for place in range(len(table.channels))[places]],
            strict=True,
        )
    ]


def _conditions(table: ChannelTable, place: int) -> dict[str, dict[str, Any]]:
    """The measured quantities of a channel by name; a value that is unknown or too old is None."""
    return {
        name: {
            "value": significant(table.conditions[name][place : place + 1], 6)[0],
            "stale": bool(table.stale[name][place]),
        }
        for name in table.channels[place].sensor.conditions
    }


def _no_velocity(table: ChannelTable, place: int) -> str | None:
    """Why a channel has no velocity RMS; None if it has one, or if the first record is not finished."""
    record_s, rate_hz = float(table.figures["record_s"][place]), table.channels[place].sensor.sampling_rate_hz
    if refusal := velocity_refusal(round(LEAST_S * rate_hz) + 1, rate_hz):
        return refusal  # whatever comes
    return None if np.isnan(record_s) else velocity_refusal(round(record_s * rate_hz), rate_hz) or None


def _missing(table: ChannelTable, place: int) -> list[str]:
    """The quantities that a channel's calibration was learned with and that are not known at present."""
    calibration = table.channels[place].calibration
    if calibration is None:
        return []
    known = [name for name, values in table.conditions.items() if not np.isnan(values[place])]
    return [name for name in calibration.quantities if name not in known]


def update_document(fleet: Fleet, place: int) -> dict[str, Any]:
    """The latest figures of one channel, and the last seconds of its history in case a message was missed."""
    recent = {name: significant(values[-RECENT_SAMPLES:]) for name, values in fleet.history(place).items()}
    return figures_documents(fleet, slice(place, place + 1))[0] | {"recent": recent}


def introduction_document(fleet: Fleet, place: int, view: View, service: Service) -> dict[str, Any]:
    """A channel's labels in the order of its topic, and its sensor, model, calibration and history."""
    channel = fleet.table.channels[place]
    labels = dict(zip(view.label_names, channel.labels, strict=True))
    return {
        "service": service_document(fleet, view, service),
        "name": channel.name,
        "labels": {name: labels[name] for name in channel.sensor.label_names},
        "sampling_rate_hz": channel.sensor.sampling_rate_hz,
        "model": next((asdict(model) for model in view.models if model.model == channel.model), None),
        "calibration": _calibration_facts(fleet, place, view, service),
        "sensitivity": _sensitivity(channel.calibration),
        "evidence_words": IN_WORDS,
        "new_from": MOVING,
        "sample": fleet.samples,
        "history": {name: significant(values) for name, values in fleet.history(place).items()},
    }


def _sensitivity(calibration: Calibration | None) -> list[str]:
    """What a calibration sees, and what to do if that is little, in sentences."""
    if calibration is None:
        return []
    return [f"{text[0].upper()}{text[1:]}." for text in (stated(calibration), advice(calibration)) if text]


def _calibration_facts(fleet: Fleet, place: int, view: View, service: Service) -> list[tuple[str, str]]:
    """The facts about a channel's calibration, as pairs of title and text; empty without a calibration."""
    channel = fleet.table.channels[place]
    found = channel.calibration
    if found is None:
        return []
    file = channel.sensor.calibration_of(dict(zip(view.label_names, channel.labels, strict=True)))
    allowed = service.config.scoring.false_alarms_per_month
    return [
        ("Calibration", file or ("learned, provisional" if channel.provisional else "learned")),
        ("Made from", f"{spoken_duration(found.healthy_s)} of healthy signal, {found.intervals:.0f} intervals"),
        ("Limit set for", f"{allowed:g} false alarm{'s' if allowed != 1 else ''} a month"),
        ("Forecast", found.foresight),
        ("Healthy level", f"RMS {found.level_mps2:.3g} m/s\u00b2, gap ratio {found.gap_ratio:.3g}"),
        *(
            (f"Learned {name}", f"{low:g} to {high:g}")
            for name, (low, high) in zip(found.quantities, found.ranges.tolist(), strict=True)
        ),
    ]
