"""Families for the texts of alerts: how far a channel is from healthy, since when, and where to look.

An alert's text is made of what Prometheus knows, so whatever a person should read is a metric. Words and addresses are
labels of series that have the value 1; there is one for each kind of evidence, not one for each channel. The edges of
the band and the start of the alarm are exported while a channel is in warning or alarm only.
"""

import math
from collections.abc import Iterable

import numpy as np

from monitor.core.scoring.alarm import State
from monitor.core.scoring.evidence.kinds import IN_WORDS, KINDS
from monitor.runtime.web.metrics.exposition import MetricsPage, label_text
from monitor.runtime.web.table import ChannelTable
from monitor.runtime.web.view import View


def write_how_far(page: MetricsPage, table: ChannelTable, names: list[str]) -> None:
    """Write the families of channels; ``names`` are their labels as text."""
    scored = ~np.isnan(table.figures["score"])
    rms, band = np.where(scored[:, None], table.times_healthy, np.nan).T.tolist()
    page.family(
        "vibration_acceleration_rms_ratio",
        "gauge",
        "RMS over the interval / RMS of the healthy machine under the present conditions.",
        _known(names, rms),
    )
    page.family(
        "vibration_evidence_band_ratio",
        "gauge",
        "Amplitude of the whitened residual in the band that stands out most / healthy amplitude.",
        _known(names, band),
    )
    alarmed = np.flatnonzero(table.figures["alarm_state"] > State.OK).tolist()
    page.family(
        "vibration_evidence_band_edge_hertz",
        "gauge",
        "Edges of the frequency band that stands out most, of a channel in warning or alarm.",
        (
            (f'{names[place]},edge="{edge}"', hertz)
            for place in alarmed
            if scored[place]
            for edge, hertz in zip(("lower", "upper"), table.band_hz[place].tolist(), strict=True)
        ),
    )
    page.family(
        "vibration_alarm_since_timestamp_seconds",
        "gauge",
        "Since when the alarm state of a channel in warning or alarm has not been ok.",
        _known([names[place] for place in alarmed], [table.channels[place].alarm_since_s for place in alarmed]),
    )


def _known(names: list[str], values: list[float]) -> Iterable[tuple[str, float]]:
    return ((labels, value) for labels, value in zip(names, values, strict=True) if not math.isnan(value))


def write_wording(page: MetricsPage, view: View) -> None:
    """Write the families that an alert's text takes words and addresses from."""
    page.family(
        "vibration_evidence_info",
        "gauge",
        "The kinds of evidence in words.",
        ((label_text(("evidence", "words"), (kind, IN_WORDS[kind])), 1) for kind in KINDS),
    )
    page.family(
        "vibration_http_info",
        "gauge",
        "The URL at which a person opens the live page (http.public_url).",
        ((label_text(("url",), (url,)), 1) for url in (view.url,) if url),
    )
    page.single(
        "vibration_false_alarms_per_month",
        "gauge",
        "Accepted false alarms of a healthy channel (scoring.false_alarms_per_month).",
        view.false_alarms_per_month,
    )
