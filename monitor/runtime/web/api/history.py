"""The history of a channel over HTTP: its figures over hours, days and weeks, its alarms, its healthy spectrum.

Answers are made on a thread, one at a time, and kept for a few seconds, so any number of viewers costs one reading.
"""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
from aiohttp import web

from monitor.core.arrays import Floats
from monitor.runtime.history.cells import QUANTITIES, TIERS
from monitor.runtime.history.desk import identity_of
from monitor.runtime.history.healthy import SAMPLES
from monitor.runtime.history.outlook import SCORE_MARKS, WINDOWS, next_mark, over_window, told
from monitor.runtime.history.store import Series
from monitor.runtime.intake.channel import Channel
from monitor.runtime.web.api.answers import HEADERS
from monitor.runtime.web.api.openapi import Answer, Operation, Parameter, Shape, add_route
from monitor.runtime.web.negotiation import accepts_gzip
from monitor.runtime.web.view import Service

FRESH_S = 5.0
"""Age up to which an answer is given again. Shorter: many viewers of one channel cost many readings. Longer: the last
minute of the chart is behind."""

KEPT = 64
"""Answers that are kept, 0.2 MB each at most. Fewer: viewers of many channels displace each other."""

OVER = tuple(tier.over for tier in TIERS)


class Course(Shape):
    """One figure over time; null: no data."""

    mean: list[float | None]
    """Mean of each cell."""
    maximum: list[float | None]
    """Maximum of each cell."""


class Reach(Shape):
    """When a figure reaches a mark if its rate stays as it is. Faults accelerate, so it is often sooner."""

    mark: float
    """The mark: for the score 1, 3, 10 or 30; for the velocity the user's limits of zones."""
    in_s: float
    """Seconds from the end of the trend."""
    earliest_s: float
    """By the upper end of the interval of the rate."""
    latest_s: float
    """By the lower end."""


class Rate(Shape):
    """How fast a figure grows over the last part of the history, with a 95 % interval for cells that are correlated."""

    rate: float
    """Rise a second."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    level: float
    """The figure at the end, by the line that was fitted."""
    over_s: float
    """Seconds before the end that it is fitted to."""
    end_s: float
    """UNIX seconds of the end."""
    text: str
    """The same in words."""
    reach: Reach | None
    """The next mark; null where the interval holds zero, or the mark is further than ``over_s``."""


class History(Shape):
    """The figures of a channel in cells of one length; the last cell is open."""

    channel: str
    """Name of the channel."""
    over: str
    """``hours``: a day of minutes; ``days``: two weeks of quarters of an hour; ``weeks``: two years of six hours."""
    period_s: int
    """Seconds of a cell."""
    start_s: float
    """UNIX seconds at which the first cell begins; cells before it have no data."""
    figures: dict[str, Course]
    """Each figure, by name: score, rms (m/s²), velocity_rms (m/s), gap_ratio, condition_distance."""
    trends: dict[str, Rate]
    """The trends of score and velocity_rms, where enough is known: of 6 hours, 3 days or 8 weeks."""
    missing: str
    """Why there is no history; empty: there is."""


class Alarmed(Shape):
    """One time in warning or alarm."""

    start_s: float
    """UNIX seconds of its beginning."""
    end_s: float | None
    """UNIX seconds of its end; null: it goes on."""
    peak_score: float
    """Highest score."""
    peak_at_s: float
    """UNIX seconds at which it was."""
    state: str
    """The worst state: ``warning`` or ``alarm``."""


class Alarms(Shape):
    """The alarms of a channel."""

    alarms: list[Alarmed]
    """The latest first; at most 50."""


class Healthy(Shape):
    """How a channel looks when it is healthy; nothing is scored with it."""

    stretches: int
    """Number of stretches of samples in the mean; 0: there is none yet."""
    first_s: float | None
    """UNIX seconds of the first one; null: none."""
    last_s: float | None
    """UNIX seconds of the last one; null: none."""
    step_hz: float
    """Hz from one line to the next."""
    spectrum: str
    """Amplitude of each line in m/s², from 0 Hz: base64 of little-endian float32."""


class Answers:
    """The handlers."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._kept: dict[tuple[str, ...], tuple[float, bytes]] = {}

    async def figures(self, request: web.Request) -> web.Response:
        """The figures of the query's ``channel`` over its ``over``."""
        over = request.query.get("over", OVER[0])
        if over not in OVER:
            return _text(400, f"over is {over!r}; it must be one of {', '.join(OVER)}")
        return await self._answer(request, ("figures", over), lambda channel: self._figures(channel, over))

    async def alarms(self, request: web.Request) -> web.Response:
        """The alarms of the query's ``channel``."""
        return await self._answer(request, ("alarms",), self._alarms)

    async def healthy(self, request: web.Request) -> web.Response:
        """The healthy spectrum of the query's ``channel``."""
        return await self._answer(request, ("healthy",), self._healthy)

    async def _answer(
        self, request: web.Request, about: tuple[str, ...], make: Callable[[Channel], dict[str, Any]]
    ) -> web.Response:
        name = request.query.get("channel", "")
        channels = tuple(self._service.view().ingest.channels.values())

        def made() -> bytes | None:
            channel = next((one for one in channels if one.name == name), None)
            return None if channel is None else json.dumps(make(channel), separators=(",", ":")).encode()

        async with self._one_at_a_time:
            until_s, body = self._kept.get((*about, name), (0.0, b""))
            if self._clock() >= until_s:
                found = await asyncio.to_thread(made)
                if found is None:
                    return _text(404, "name a channel in the query's 'channel'")
                body = found
                self._kept.pop((*about, name), None)
                self._kept[(*about, name)] = self._clock() + FRESH_S, body
                while len(self._kept) > KEPT:
                    del self._kept[next(iter(self._kept))]
        response = web.Response(body=body, content_type="application/json", headers=HEADERS)
        if accepts_gzip(request) and len(body) > 1000:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def _figures(self, channel: Channel, over: str) -> dict[str, Any]:
        desk = self._service.history
        found = desk.series(self._identity(channel), over)
        if found is None:
            tier = TIERS[OVER.index(over)]
            nothing: Floats = np.zeros(0, np.float32)
            found = Series(tier.period_s, 0.0, dict.fromkeys(QUANTITIES, nothing), dict.fromkeys(QUANTITIES, nothing))
        return {
            "channel": channel.name,
            "over": over,
            "period_s": found.period_s,
            "start_s": found.start_s,
            "figures": {
                name: {"mean": _numbers(found.mean[name]), "maximum": _numbers(found.top[name])} for name in QUANTITIES
            },
            "trends": _trends(channel, found, over) if found.mean["score"].size else {},
            "missing": desk.missing,
        }

    def _alarms(self, channel: Channel) -> dict[str, Any]:
        names = list(Alarmed.model_fields)
        found = self._service.history.alarms(self._identity(channel))
        return {"alarms": [{name: getattr(one, name) for name in names} for one in found]}

    def _healthy(self, channel: Channel) -> dict[str, Any]:
        found = self._service.history.healthy(self._identity(channel), channel.key)
        rate_hz = channel.sensor.sampling_rate_hz if found is None else found.rate_hz
        return {
            "stretches": 0 if found is None else found.stretches,
            "first_s": None if found is None else found.first_s,
            "last_s": None if found is None else found.last_s,
            "step_hz": rate_hz / (SAMPLES // 2),
            "spectrum": "" if found is None else b64encode(found.amplitude.astype("<f4").tobytes()).decode(),
        }

    def _identity(self, channel: Channel) -> tuple[str, ...]:
        return identity_of(self._service.view().label_names, channel.labels)


def _trends(channel: Channel, series: Series, over: str) -> dict[str, dict[str, Any]]:
    """The trends of a history by figure."""
    (window,) = (one for one in WINDOWS if one.over == over)
    zones = channel.sensor.machine.zones
    shown: dict[str, tuple[str, tuple[float, ...], float, str]] = {
        "score": ("score", SCORE_MARKS, 1.0, ""),
        "velocity_rms": ("velocity", () if zones is None else zones.limits_mps, 1000.0, " mm/s"),
    }
    found = {}
    for name, (what, marks, factor, unit) in shown.items():
        seen = over_window(series, name, window)
        if seen is not None:
            text = told(seen, what, window, marks, factor=factor, unit=unit)
            mark = next_mark(seen, marks)
            when = None if mark is None else seen.reaches(mark)
            fields = ("rate", "low", "high", "level", "over_s", "end_s")
            found[name] = {field: getattr(seen, field) for field in fields} | {
                "text": f"{text}.",
                "reach": None if when is None else dict(zip(Reach.model_fields, (mark, *when), strict=True)),
            }
    return found


def _numbers(values: Floats) -> list[float | None]:
    """Values with four digits; null for NaN."""
    return [None if value != value else float(f"{value:.4g}") for value in values.tolist()]  # noqa: PLR0124 - NaN


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=HEADERS)


def add_history(app: web.Application, service: Service) -> None:
    """Add the routes of the history."""
    answers = Answers(service)
    add_route(app, "GET", "/api/v1/history", answers.figures, FIGURES)
    add_route(app, "GET", "/api/v1/history/alarms", answers.alarms, ALARMS)
    add_route(app, "GET", "/api/v1/history/healthy", answers.healthy, HEALTHY)


CHANNEL = {"channel": Parameter("Name of the channel.")}
NONE = Answer("There is no such channel.")
FIGURES = Operation(
    "The figures of a channel over hours, days or weeks.",
    {
        200: Answer("Mean and maximum of each cell of time.", shape=History),
        400: Answer("``over`` is none of these."),
        404: NONE,
    },
    query=CHANNEL | {"over": Parameter("``hours``, ``days`` or ``weeks``.")},
)
ALARMS = Operation(
    "When a channel was in warning or alarm.",
    {200: Answer("The latest first.", shape=Alarms), 404: NONE},
    query=CHANNEL,
)
HEALTHY = Operation(
    "The spectrum of a channel when it is healthy.", {200: Answer("A mean.", shape=Healthy), 404: NONE}, query=CHANNEL
)
