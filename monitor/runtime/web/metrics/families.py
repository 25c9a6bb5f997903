"""All metrics: their names, types and help texts, and where each value comes from.

The names are part of the interface. A silent channel keeps only its counters, the time of its last sample, and its
alarm state if that is not ok: a machine that was in alarm when its sensor died is still in alarm.
"""

import math
from functools import partial
from typing import Any

import numpy as np

from monitor import __version__
from monitor.core.arrays import Float64
from monitor.core.messages.decode import Reason
from monitor.core.scoring.calibration.calibration import OVER_S
from monitor.core.scoring.plausibility import BY_WORKER, REFUSALS, Skip
from monitor.runtime.intake.channel import COUNTERS, RARE
from monitor.runtime.lanes.histogram import Histogram
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.log.internal_errors import Where
from monitor.runtime.processes import procfs
from monitor.runtime.web.border.connections import Dropped
from monitor.runtime.web.metrics.connection import write_connection, write_scores
from monitor.runtime.web.metrics.exposition import MetricsPage, label_text
from monitor.runtime.web.metrics.faults import write_faults
from monitor.runtime.web.metrics.how_far import write_how_far, write_wording
from monitor.runtime.web.metrics.learned import write_learned
from monitor.runtime.web.metrics.own_model import write_own_models
from monitor.runtime.web.metrics.usual import write_usual
from monitor.runtime.web.table import ChannelTable, read_table
from monitor.runtime.web.view import View, oldest_s

FIGURES = {
    "score": ("vibration_anomaly_score", "0 as forecast, 1 at the calibrated limit, above 1 anomalous."),
    "gap": ("vibration_forecast_gap", "RMS of observed minus forecast acceleration over the interval, m/s^2."),
    "gap_ratio": ("vibration_forecast_gap_ratio", "Residual energy divided by signal energy over the interval."),
    "gap_whitened": ("vibration_forecast_gap_whitened", "Whitened residual energy, about 1 when healthy."),
    "coverage": ("vibration_coverage_ratio", "Blocks scored / blocks received over the last interval."),
    "rms": ("vibration_acceleration_rms", "RMS of the acceleration over the interval, m/s^2."),
    "peak": ("vibration_acceleration_peak", "Largest absolute acceleration in the interval, m/s^2."),
    "condition_distance": (
        "vibration_condition_distance",
        "How far measured quantities are from what the calibration was learned under: 0 inside, 1 at the margin.",
    ),
}
"""Gauges of every channel, by column of the boards: metric name and help. A missing figure has no series."""

COUNTS = ("blocks_scored", "scored_at_s", "calibrated", *BY_WORKER, *REFUSALS)
"""Further columns of the boards that the metrics use."""


def write_channels(page: MetricsPage, view: View) -> None:
    """Write the families that have series for each channel."""
    table = read_table(view, more=COUNTS)
    names = [label_text(view.label_names, channel.labels) for channel in table.channels]
    silences = table.silent.tolist()

    def counts(key: str) -> list[tuple[str, float]]:
        return list(zip(names, table.columns[key].tolist(), strict=True))

    for key, (name, text) in FIGURES.items():
        page.family(name, "gauge", text, _known(names, table.figures[key]))
    page.family(
        "vibration_condition_value",
        "gauge",
        "Measured operating quantity of the channel's machine; absent while unknown or older than its max_age.",
        (
            (f'{labels},condition="{name}"', value)
            for name, values in table.conditions.items()
            for labels, value in _known(names, values)
        ),
    )
    write_learned(page, table, names)
    _write_alarms(page, table, names)
    write_how_far(page, table, names)
    write_usual(page, table, names)
    write_faults(page, view, table, names)
    for key, (name, text) in COUNTERS.items():
        values = (getattr(channel, key) for channel in table.channels)
        page.family(name, "counter", text, zip(names, values, strict=True))
    for key, (name, text) in RARE.items():
        pairs = ((labels, getattr(channel, key)) for labels, channel in zip(names, table.channels, strict=True))
        page.family(name, "counter", text, (pair for pair in pairs if pair[1]))
    triples = zip(names, table.channels, silences, strict=True)
    page.family(
        "vibration_sampling_rate_measured_hertz",
        "gauge",
        "Measured samples per second, over the last uninterrupted minute.",
        ((labels, c.rate_hz) for labels, c, silent in triples if not silent and not math.isnan(c.rate_hz)),
    )
    page.family(
        "vibration_blocks_received_total",
        "counter",
        "Whole blocks received.",
        (
            (labels, count - channel.first_block)
            for (labels, count), channel in zip(counts("blocks_received"), table.channels, strict=True)
        ),
    )
    page.family(
        "vibration_blocks_scored_total",
        "counter",
        "Blocks compared with their forecast.",
        counts("blocks_scored"),
    )
    skipped = [
        (f'{labels},reason="{reason}"', value)
        for reason in BY_WORKER
        for labels, value in counts(reason)
        if value or reason in {Skip.WARM_UP, Skip.OVERLOAD}
    ]
    skipped += [
        (f'{labels},reason="{reason}"', value)
        for reason in REFUSALS
        for labels, value in counts(reason)
        if value  # else seven more series for each channel
    ]
    skipped += [
        (f'{labels},reason="{Skip.INCOMPLETE}"', float(channel.blocks_incomplete))
        for labels, channel in zip(names, table.channels, strict=True)
    ]
    page.family(
        "vibration_blocks_skipped_total",
        "counter",
        "Blocks not scored, by reason; no_forecast: what the network gave is not finite or far louder than any signal.",
        skipped,
    )
    page.family(
        "vibration_last_sample_timestamp_seconds",
        "gauge",
        "When the channel's last samples arrived.",
        (
            (labels, channel.last_sample_s + view.wall_offset_s)
            for labels, channel in zip(names, table.channels, strict=True)
        ),
    )
    page.family(
        "vibration_last_score_timestamp_seconds",
        "gauge",
        "When the last sample of the channel's last scored interval arrived.",
        ((labels, at_s + view.wall_offset_s) for labels, at_s in counts("scored_at_s") if at_s > 0),
    )


def _write_alarms(page: MetricsPage, table: ChannelTable, names: list[str]) -> None:
    triples = zip(names, table.columns["calibrated"].tolist(), table.silent.tolist(), strict=True)
    page.family(
        "vibration_channel_calibrated",
        "gauge",
        "Whether the channel has a calibration.",
        ((labels, int(calibrated)) for labels, calibrated, silent in triples if not silent),
    )
    page.family(
        "vibration_forecast_trust",
        "gauge",
        "Share of the healthy signal's energy that the channel's forecast explains, fitted when calibrating.",
        (
            (labels, channel.calibration.trust)
            for labels, channel, silent in zip(names, table.channels, table.silent.tolist(), strict=True)
            if channel.calibration is not None and not silent
        ),
    )
    page.family(
        "vibration_calibration_sensitivity_decibels",
        "gauge",
        "Smallest lasting rise of the residual over all bands that raises the alarm, at one false alarm a month; 30: "
        "none up to that.",
        (
            (f'{labels},over="{over}"', decibels)
            for labels, channel, silent in zip(names, table.channels, table.silent.tolist(), strict=True)
            if channel.calibration is not None and not silent
            for over, decibels in zip(OVER_S, channel.calibration.sensitivity[-1].tolist(), strict=True)
        ),
    )
    page.family(
        "vibration_alarm_state",
        "gauge",
        "0 ok, 1 warning, 2 alarm, after hysteresis.",
        _known(names, table.figures["alarm_state"]),
    )
    scores, kinds = table.figures["score"].tolist(), [values.tolist() for values in table.evidence.values()]
    page.family(
        "vibration_evidence_score",
        "gauge",
        "The score that each kind of evidence alone would give.",
        (
            (f'{labels},evidence="{kind}"', value)
            for labels, score, *evidence in zip(names, scores, *kinds, strict=True)
            if not math.isnan(score)
            for kind, value in zip(table.evidence, evidence, strict=True)
        ),
    )
    page.family(
        "vibration_evidence_band_hertz",
        "gauge",
        "Centre of the frequency band that stands out most.",
        _known(names, np.where(np.isnan(table.figures["score"]), np.nan, table.band_hz.mean(axis=1))),
    )


def _known(names: list[str], values: Float64) -> list[tuple[str, float]]:
    """Label text and value of the channels that have a value."""
    return [(labels, value) for labels, value in zip(names, values.tolist(), strict=True) if not math.isnan(value)]


def write_service(page: MetricsPage, view: View) -> None:
    """Write the families about the service itself."""
    ingest = view.ingest
    rejected = [(f'reason="{reason}"', float(ingest.rejected[reason])) for reason in Reason]
    page.family("vibration_messages_rejected_total", "counter", "Messages rejected, by reason.", rejected)
    page.family(
        "vibration_internal_errors_total",
        "counter",
        "Unexpected errors, defects of the daemon; each cost the item that was being handled.",
        ((f'where="{where}"', view.internal_errors.get(where, 0)) for where in Where),
    )
    write_connection(page, view.source, ingest)
    singles = (
        (
            "vibration_sparkplug_sequence_breaks_total",
            "counter",
            "Breaks in the sequence numbers of Sparkplug nodes: messages are missing.",
            ingest.sparkplug.breaks,
        ),
        (
            "vibration_sparkplug_rebirths_requested_total",
            "counter",
            "Requests to Sparkplug nodes to send their births again.",
            ingest.sparkplug.rebirths,
        ),
        ("vibration_http_connections", "gauge", "HTTP connections open now.", view.http_connections),
        ("vibration_channels", "gauge", "Channels known.", len(ingest.channels)),
        ("vibration_channels_limit", "gauge", "Most channels (limits.channels).", view.channel_limit),
        ("vibration_queue_bytes", "gauge", "Samples waiting in the buffers.", _waiting_bytes(view)),
        ("vibration_queue_limit_bytes", "gauge", "Samples the buffers hold at most.", _buffer_bytes(view)),
        ("vibration_oldest_unscored_block_age_seconds", "gauge", "Age of the oldest waiting block.", oldest_s(view)),
        (
            "vibration_config_last_reload_successful",
            "gauge",
            "Whether the last load of the configuration succeeded.",
            view.reload_successful,
        ),
        (
            "vibration_config_last_reload_success_timestamp_seconds",
            "gauge",
            "When the configuration was last loaded successfully.",
            view.reloaded_at_s,
        ),
    )
    for name, kind, text, value in singles:
        page.single(name, kind, text, value)
    write_wording(page, view)
    page.family("vibration_build_info", "gauge", "The version that runs.", [(f'version="{__version__}"', 1)])
    page.single(
        "vibration_evidence_files_written_total",
        "counter",
        "Captures of alarms written.",
        view.evidence_written,
    )
    page.family(
        "vibration_evidence_write_failures_total",
        "counter",
        "Captures of alarms that failed, by reason.",
        ((f'reason="{reason}"', count) for reason, count in view.evidence_failures.items()),
    )
    page.single(
        "vibration_state_write_failures_total",
        "counter",
        "Failed saves of the state.",
        view.state_write_failures,
    )
    page.family(
        "vibration_learning_restarts_total",
        "counter",
        "Channels that had to learn from the beginning, by reason.",
        ((f'reason="{reason}"', count) for reason, count in view.learning_restarts.items()),
    )
    page.single(
        "vibration_learning_intervals_lost_total",
        "counter",
        "Intervals that were not learned because they could not be written, or the learner was behind.",
        view.learning_lost,
    )
    write_own_models(page, view)
    page.single("vibration_events_dropped_total", "counter", "Alarm events not published.", view.events_dropped)
    write_scores(page, view.scores)
    page.family(
        "vibration_certificate_expiry_timestamp_seconds",
        "gauge",
        "When a certificate in use expires.",
        ((label_text(("file",), (file,)), at_s) for file, at_s in view.certificates.items()),
    )
    page.family(
        "vibration_http_connections_dropped_total",
        "counter",
        "HTTP connections that the server closed because of their client, by reason.",
        ((f'reason="{reason}"', view.http_dropped.get(reason, 0)) for reason in Dropped),
    )
    pids = [
        (label_text(("model", "worker"), (model, str(number))), pid)
        for model, processes in view.workers.items()
        for number, pid in enumerate(processes)
    ]
    page.family(
        "vibration_worker_cpu_seconds_total",
        "counter",
        "CPU time of the worker processes.",
        [(labels, procfs.cpu_s(pid)) for labels, pid in pids],
    )
    page.family(
        "vibration_worker_resident_memory_bytes",
        "gauge",
        "Resident memory of the worker processes, including the buffers that they share with the daemon.",
        [(labels, procfs.resident_bytes(pid)) for labels, pid in pids],
    )
    names = ("model", "sha256", "engine", "device")
    page.family(
        "vibration_model_info",
        "gauge",
        "The models in use.",
        ((label_text(names, (m.model, m.sha256, m.engine, m.device)), 1) for m in view.models),
    )
    _write_histograms(page, view)


def _write_histograms(page: MetricsPage, view: View) -> None:
    names = ("model", "engine")
    parts: dict[str, list[Any]] = {"durations": [], "batches": [], "latencies": []}
    for model in view.models:
        lane = view.lanes[model.model]
        labels = label_text(names, (lane.name, model.engine))
        for key, part in parts.items():
            part.append((labels, *_totals(lane, getattr(lane, key))))
    page.histogram("vibration_inference_duration_seconds", "One batch through the pipeline.", parts["durations"])
    page.histogram("vibration_inference_batch_size", "Blocks in a batch.", parts["batches"])
    page.histogram(
        "vibration_sample_to_score_seconds", "Arrival of a block's last sample to score.", parts["latencies"]
    )


def _totals(lane: Lane, histogram: Histogram) -> tuple[list[tuple[str, int]], float]:
    """Cumulative buckets and sum of a histogram; the values of each worker are read without a torn read."""
    parts = range(lane.shape.parts)
    return histogram.totals(lane.board.consistent(part, partial(histogram.part_totals, part)) for part in parts)


def _waiting_bytes(view: View) -> int:
    return sum(
        int(lane.rings.backlog().sum()) * lane.rings.block_samples * 4  # float32
        for lane in view.lanes.values()
    )


def _buffer_bytes(view: View) -> int:
    return sum(
        view.channel_limit * lane.rings.capacity_blocks * lane.rings.block_samples * 4 for lane in view.lanes.values()
    )


def render(view: View) -> bytes:
    """The whole page except the metrics of the process."""
    page = MetricsPage()
    write_service(page, view)
    write_channels(page, view)
    return page.text()
