"""Families for velocity and the usual figures: what standards and experience speak of, beside the score.

They are of whole records, at their own pace (``core/records``), and no alarm of the score depends on them. The zone is
exported where the configuration has limits.
"""

import math

from monitor.runtime.web.metrics.exposition import MetricsPage
from monitor.runtime.web.table import ChannelTable

USUAL = {
    "velocity_rms": (
        "vibration_velocity_rms",
        "RMS of velocity from 10 Hz to 1 kHz of the last record, m/s; absent where rate or record do not suffice.",
    ),
    "crest_factor": ("vibration_crest_factor", "Largest deviation from the mean / RMS, of the last record."),
    "kurtosis": ("vibration_kurtosis", "Fourth moment / squared second moment of the last record; 3 for noise."),
    "peak_to_peak": ("vibration_acceleration_peak_to_peak", "Largest minus smallest sample of the last record, m/s^2."),
}
"""Gauges by column of the boards: metric name and help."""


def write_usual(page: MetricsPage, table: ChannelTable, names: list[str]) -> None:
    """Write the families; ``names`` are the channels' labels as text."""
    for key, (name, text) in USUAL.items():
        values = table.figures[key].tolist()
        page.family(name, "gauge", text, (pair for pair in zip(names, values, strict=True) if not math.isnan(pair[1])))
    page.family(
        "vibration_velocity_zone",
        "gauge",
        "Zone of the velocity by the configured limits: 0 A, 1 B, 2 C, 3 D.",
        ((labels, zone) for place, labels in enumerate(names) if (zone := table.zone(place)) is not None),
    )
