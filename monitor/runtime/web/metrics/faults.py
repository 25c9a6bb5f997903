"""Families for named faults: of channels in warning or alarm only, like the other texts of alerts."""

import math

from monitor.runtime.web.metrics.exposition import MetricsPage, label_text
from monitor.runtime.web.table import ChannelTable
from monitor.runtime.web.view import View


def write_faults(page: MetricsPage, view: View, table: ChannelTable, names: list[str]) -> None:
    """Write the families; ``names`` are the channels' labels as text."""
    found = [
        (f"{labels},{label_text(('fault', 'part'), one.what)}", one)
        for labels, channel in zip(names, table.channels, strict=True)
        if (case := view.cases.get(channel.labels)) is not None and case.alarmed
        for one in case.named()
    ]
    page.family(
        "vibration_fault_evidence",
        "gauge",
        "-log10 of the p-value of a fault that is named, of a channel in warning or alarm.",
        ((labels, round(-math.log10(max(one.p_value, 1e-300)), 2)) for labels, one in found),
    )
    page.family(
        "vibration_fault_frequency_hertz",
        "gauge",
        "Rate of a fault that is named.",
        ((labels, one.frequency_hz) for labels, one in found),
    )
