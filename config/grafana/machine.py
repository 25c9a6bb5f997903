# ruff: noqa: INP001 - scripts beside their output, not a package
"""The dashboard of one machine: how it is, since when, and by which evidence."""

from panel import Dashboard, Panel
from queries import CHANNEL, CHANNELS, NAME, RATE, RED_ABOVE_ONE, SEEN, STATES, rate

ZONES = [
    {"type": "value", "options": {"0": {"text": "A", "color": "green", "index": 0}}},
    {"type": "value", "options": {"1": {"text": "B", "color": "yellow", "index": 1}}},
    {"type": "value", "options": {"2": {"text": "C", "color": "orange", "index": 2}}},
    {"type": "value", "options": {"3": {"text": "D", "color": "red", "index": 3}}},
]

PANELS = [
    Panel(
        "Anomaly score", "none", "0: as forecast. 1: at the calibrated limit. Above 1: anomalous.",
        {NAME: f"vibration_anomaly_score{{{CHANNEL}}}"}, steps=RED_ABOVE_ONE, width=16, height=10,
    ),
    Panel(
        "State", "none", "Alarm state after hysteresis.",
        {NAME: f"vibration_alarm_state{{{CHANNEL}}}"}, "state-timeline", 8, 10, mappings=STATES,
    ),
    Panel(
        "Evidence", "none",
        "Score of each kind of evidence alone; its limit is 1. Highest of the selected channels.",
        {"{{evidence}}": f"max by (evidence) (vibration_evidence_score{{{CHANNEL}}})"}, steps=RED_ABOVE_ONE,
    ),
    Panel(
        "Band that stands out", "hertz",
        "Centre of the frequency band in which the residual exceeds its healthy level most. Compare it with bearing "
        "and gear frequencies and with resonances.",
        {NAME: f"vibration_evidence_band_hertz{{{CHANNEL}}}"},
    ),
    Panel(
        "Forecast gap", "accMS2", "RMS of the observed minus the forecast acceleration over the interval.",
        {NAME: f"vibration_forecast_gap{{{CHANNEL}}}"},
    ),
    Panel(
        "Gap ratio", "percentunit",
        "Residual energy / signal energy. 0: perfectly forecast. 100 %: no better than no forecast. A change of gain "
        "alone does not change it.",
        {NAME: f"vibration_forecast_gap_ratio{{{CHANNEL}}}"},
    ),
    Panel(
        "Forecast trust", "percentunit",
        "Share of the healthy signal's energy that the channel's forecast explains. Near 0: noise to network and "
        "linear model alike, limits rest on its spectrum. It changes with a new calibration only.",
        {NAME: f"vibration_forecast_trust{{{CHANNEL}}}"}, limits=(0, 1),
    ),
    Panel(
        "Sensitivity", "dB",
        "Smallest lasting increase of the residual, over all bands, that causes an alarm within a minute and a day, "
        "at one false alarm a month. Over 10: faults may stay unseen; calibrate with more data, fewer conditions or a "
        "shorter interval. It changes with a new calibration only.",
        {f"{NAME} within {{{{over}}}}": f"vibration_calibration_sensitivity_decibels{{{CHANNEL}}}"},
        limits=(0, None),
    ),
    Panel(
        "Named faults", "none",
        "-log10 of the p-value of what a channel in warning or alarm is named as. Empty while nothing is named.",
        {f"{{{{fault}}}}, {{{{part}}}} {NAME}": f"vibration_fault_evidence{{{CHANNEL}}}"}, limits=(0, None),
    ),
    Panel(
        "Velocity", "velocityms",
        "RMS of velocity from 10 Hz to 1 kHz, of two seconds about every twenty. Empty where the sampling rate or the "
        "records without a break are too short for it.",
        {NAME: f"vibration_velocity_rms{{{CHANNEL}}}"}, limits=(0, None),
    ),
    Panel(
        "Velocity zone", "none",
        "Zone of the velocity by the limits of the configuration. Empty where it sets none (machine.zones).",
        {NAME: f"vibration_velocity_zone{{{CHANNEL}}}"}, "state-timeline", mappings=ZONES,
    ),
    Panel(
        "Crest factor and kurtosis", "none",
        "Largest deviation / RMS, and fourth moment / squared second moment, of the same two seconds: single impacts "
        "raise both, the kurtosis of noise is 3.",
        {
            f"crest factor {NAME}": f"vibration_crest_factor{{{CHANNEL}}}",
            f"kurtosis {NAME}": f"vibration_kurtosis{{{CHANNEL}}}",
        },
    ),
    Panel(
        "Peak to peak", "accMS2", "Largest minus smallest sample of the same two seconds.",
        {NAME: f"vibration_acceleration_peak_to_peak{{{CHANNEL}}}"},
    ),
    Panel(
        "Distance from learned conditions", "none",
        "How far the measured quantities, such as speed and load, are from what the calibration was learned under. 0: "
        "inside. Above 1: an unknown condition, which is not scored. Empty where nothing is measured or learned.",
        {NAME: f"vibration_condition_distance{{{CHANNEL}}}"}, steps=RED_ABOVE_ONE,
    ),
    Panel(
        "Measured conditions", "none", "The measured quantities themselves.",
        {f"{{{{condition}}}} {NAME}": f"vibration_condition_value{{{CHANNEL}}}"}, limits=(None, None),
    ),
    Panel(
        "Whitened gap", "none",
        "Residual energy relative to its healthy level at each frequency; about 1 when healthy.",
        {NAME: f"vibration_forecast_gap_whitened{{{CHANNEL}}}"},
    ),
    Panel(
        "RMS and peak", "accMS2", "Classical vibration figures of the same intervals, for comparison.",
        {
            f"RMS {NAME}": f"vibration_acceleration_rms{{{CHANNEL}}}",
            f"peak {NAME}": f"vibration_acceleration_peak{{{CHANNEL}}}",
        },
    ),
    Panel(
        "Coverage", "percentunit", "Blocks scored / blocks received.",
        {NAME: f"vibration_coverage_ratio{{{CHANNEL}}}"}, limits=(0, 1),
    ),
    Panel(
        "Blocks not scored", "suffix: blocks/s", "Blocks that were not scored, by reason.",
        {"{{reason}}": rate("vibration_blocks_skipped_total", "reason", CHANNEL)},
    ),
    Panel(
        "Sampling rate", "hertz",
        "Measured samples per second, over the last uninterrupted minute. A channel that differs from its configured "
        "rate by more than scoring.rate_tolerance is not scored.",
        {NAME: f"vibration_sampling_rate_measured_hertz{{{CHANNEL}}}"}, limits=(None, None),
    ),
    Panel(
        "Clock steps", "none",
        "Steps found in the sensors' clocks, in the time shown. Empty if there were none.",
        {NAME: f"increase(vibration_clock_steps_total{{{CHANNEL}}}[$__range])"}, "stat",
    ),
    Panel(
        "Samples missing, repeated, late", "suffix: samples/s",
        "Samples lost, duplicated or delayed on the way from the sensor.",
        {
            "missing": f"sum(rate(vibration_samples_missing_total{{{CHANNEL}}}{RATE}))",
            "repeated": f"sum(rate(vibration_samples_repeated_total{{{CHANNEL}}}{RATE}))",
            "late": f"sum(rate(vibration_samples_late_total{{{CHANNEL}}}{RATE}))",
        },
    ),
    Panel(
        "Age of the last samples and score", "s",
        "Age of the last samples and of the last score; it rises while a channel is silent or not scored.",
        {
            f"samples {NAME}": f"time() - {SEEN}{{{CHANNEL}}}",
            f"score {NAME}": f"time() - vibration_last_score_timestamp_seconds{{{CHANNEL}}}",
        },
    ),
]  # fmt: skip

DASHBOARD = Dashboard(
    "Vibration: machine", "How is this machine, since when, and what is the evidence?", CHANNELS, PANELS
)
