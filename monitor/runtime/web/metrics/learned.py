"""Families about what channels do, how far those are that learn, and when what was learned changed.

A dashboard marks every change of a baseline at the instant that the value says. There is one series for each channel,
about its latest change; of two changes between two scrapes only the later one is seen.
"""

import math

from monitor.runtime.intake.channel import ChannelState
from monitor.runtime.web.metrics.exposition import MetricsPage
from monitor.runtime.web.table import ChannelTable


def write_learned(page: MetricsPage, table: ChannelTable, names: list[str]) -> None:
    """Write the families; ``names`` are the labels of the channels as text."""
    page.family(
        "vibration_channel_state",
        "gauge",
        "What the channel does: exactly one state is 1.",
        (
            (f'{labels},state="{state}"', int(state is present))
            for labels, present in zip(names, table.state, strict=True)
            for state in ChannelState
        ),
    )
    learning = [(labels, c.learning) for labels, c in zip(names, table.channels, strict=True) if c.learning is not None]
    page.family(
        "vibration_learning_progress_ratio",
        "gauge",
        "Share of learning.duration that a channel which learns has run.",
        ((labels, progress.ratio) for labels, progress in learning),
    )
    page.family(
        "vibration_learning_unsteady",
        "gauge",
        "Whether a channel keeps moving away while it learns: a growing fault, or running-in. It is not locked.",
        ((labels, int(progress.unsteady)) for labels, progress in learning),
    )
    page.family(
        "vibration_calibration_timestamp_seconds",
        "gauge",
        "When the channel's calibration was locked, or last accepted or exchanged by a person.",
        (
            (labels, channel.calibrated_at_s)
            for labels, channel, silent in zip(names, table.channels, table.silent.tolist(), strict=True)
            if channel.calibration is not None and not silent and not math.isnan(channel.calibrated_at_s)
        ),
    )
    page.family(
        "vibration_baseline_changed_timestamp_seconds",
        "gauge",
        "When the channel's baseline was last changed or asked for, by a person or by learning, and how.",
        (
            (f'{labels},change="{channel.baseline_changed[0]}"', channel.baseline_changed[1])
            for labels, channel in zip(names, table.channels, strict=True)
            if channel.baseline_changed is not None
        ),
    )
