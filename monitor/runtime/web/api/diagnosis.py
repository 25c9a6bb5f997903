"""The diagnosis of a channel over HTTP: what is known, and to have it looked at now.

To look costs a second of a process beside, at the lowest priority, and changes nothing that is scored. So it needs no
permission; how many may wait is bounded.
"""

from typing import Any

from aiohttp import web

from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.documents import whole
from monitor.runtime.web.api.answers import json_answer, json_body, text_answer
from monitor.runtime.web.api.openapi import ANY_NAMES, Answer, Operation, Parameter, Shape, add_route
from monitor.runtime.web.view import Service

PATH = "/api/v1/diagnosis"

NO_CHANNEL = "there is no such channel"


def add_diagnosis(app: web.Application, service: Service) -> None:
    """Add the routes."""

    def labels_of(request: web.Request) -> tuple[str, ...] | None:
        """The labels of the channel in the query; None if there is no such channel."""
        view = service.view()
        labels = tuple(request.query.get(name, "") for name in view.label_names)
        return labels if labels in view.ingest.channels else None

    def document(labels: tuple[str, ...]) -> web.Response:
        channel = service.view().ingest.channels[labels]
        case = service.diagnosis.cases.get(labels) or Case(channel.name, 0.0, alarmed=False, doing="nothing")
        return json_answer(json_body(whole(case, channel)))

    async def known(request: web.Request) -> web.Response:
        labels = labels_of(request)
        return text_answer(404, NO_CHANNEL) if labels is None else document(labels)

    async def look(request: web.Request) -> web.Response:
        labels = labels_of(request)
        if labels is None:
            return text_answer(404, NO_CHANNEL)
        if service.diagnosis.ask(labels) is None:
            return text_answer(503, "too many channels wait to be looked at; try later")
        return document(labels)

    add_route(app, "GET", PATH, known, KNOWN)
    add_route(app, "POST", PATH, look, LOOK)


class NamedFault(Shape):
    """A named fault."""

    fault: str
    """One of outer race, inner race, ball, cage, gear mesh, imbalance, misalignment, looseness."""
    part: str
    """The part, by the name that the configuration gives it."""
    frequency_hz: float
    """Its rate."""
    order: float
    """The same as a multiple of the shaft's frequency."""
    harmonics: int
    """Multiples of it that are seen."""
    p_value: float
    """Probability of as much by chance, of the last looks together."""
    named_looks: int
    """Looks that named it."""


class Depths(Shape):
    """The depth of modulation at the rates of each part, in one look."""

    at_s: float
    """UNIX seconds."""
    depths: dict[str, float]
    """By fault and part; 0.1 is a modulation of the power by 10 per cent."""


class Lines(Shape):
    """A spectrum."""

    step_hz: float
    """Distance of two lines; the first is at 0."""
    values: str
    """Amplitudes as base64 of little-endian float32."""


class Diagnosed(Shape):
    """What is known of a channel's fault."""

    channel: str
    """Name of the channel."""
    began_s: float | None
    """UNIX seconds of the alarm's begin, or of the question; null: it has not been looked at."""
    in_alarm: bool
    """Whether the channel is in warning or alarm."""
    doing: str
    """`waiting` for its turn, `listening`, `diagnosing`, `done` for now, or `nothing` yet."""
    at_s: float | None
    """UNIX seconds of the last look; null: there was none."""
    looks: int
    """Looks so far."""
    faults: list[NamedFault]
    """What the last looks name together, the most significant first."""
    repetition_rates_hz: list[float]
    """Repetition rates that stand out."""
    velocity_rms_mps: float | None
    """RMS of velocity from 10 Hz to 1 kHz, in m/s."""
    reason: str | None
    """Why nothing is named, or there is no velocity."""
    compared_with_healthy: bool
    """Whether it was compared with a look at the healthy machine."""
    shaft_hz: float | None
    """Frequency of the shaft; null: not known."""
    orders: dict[str, float]
    """Rates of the machine's parts as multiples of the shaft's frequency."""
    line_frequency_hz: float | None
    """Frequency of the electrical supply, from the configuration."""
    trend: list[Depths]
    """The looks so far, oldest first."""
    spectrum: Lines | None
    """Amplitude of the acceleration, in m/s²."""
    envelope: Lines | None
    """Depth of modulation of the whitened signal, in the band where it is greatest."""
    envelope_band_hz: tuple[float, float] | None
    """Edges of that band."""


LABELS: dict[str, Any] = {"labels": Parameter("The channel's labels, a parameter each.", ANY_NAMES)}
FOUND = Answer("What is known of its fault.", shape=Diagnosed)
NONE = Answer("There is no such channel.")
KNOWN = Operation("What is known of a channel's fault.", {200: FOUND, 404: NONE}, query=LABELS)
LOOK = Operation(
    "Have a channel looked at now, whatever its alarm state is.",
    {200: FOUND, 404: NONE, 503: Answer("Too many channels wait.")},
    query=LABELS,
)
