# ruff: noqa: INP001 - scripts beside their output, not a package
"""The content of the dashboards: titles, units, descriptions and queries.

A panel whose description says "Empty ..." may have no data. Every other panel has data as soon as a daemon with a
calibrated channel is scraped. Does not handle: Grafana's JSON (``generate.py``).
"""

from panel import Dashboard, Panel, Variable

SERVICE = 'instance=~"$instance"'
CHANNEL = f'{SERVICE},machine=~"$machine",sensor=~"$sensor",axis=~"$axis"'
NAME = "{{machine}}/{{sensor}}/{{axis}}"
RATE = "[$__rate_interval]"

STATES = [
    {"type": "value", "options": {"0": {"text": "ok", "color": "green", "index": 0}}},
    {"type": "value", "options": {"1": {"text": "warning", "color": "orange", "index": 1}}},
    {"type": "value", "options": {"2": {"text": "alarm", "color": "red", "index": 2}}},
]
ZONES = [
    {"type": "value", "options": {"0": {"text": "A", "color": "green", "index": 0}}},
    {"type": "value", "options": {"1": {"text": "B", "color": "yellow", "index": 1}}},
    {"type": "value", "options": {"2": {"text": "C", "color": "orange", "index": 2}}},
    {"type": "value", "options": {"3": {"text": "D", "color": "red", "index": 3}}},
]
YES_NO = [{"type": "value", "options": {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}}]
TO_MACHINE = {
    "title": "Show this channel",
    "url": "/d/vibration-machine?${datasource:queryparam}&var-machine=${__field.labels.machine}"
    "&var-sensor=${__field.labels.sensor}&var-axis=${__field.labels.axis}&${__url_time_range}",
}

SEEN = "vibration_last_sample_timestamp_seconds"
# "All" stands for the daemons that were found, which excludes metrics of the same name from other processes.
DAEMONS = [Variable("instance", "vibration_build_info", None)]
CHANNELS = [
    *DAEMONS,
    Variable("machine", f"{SEEN}{{{SERVICE}}}", ".*"),
    Variable("sensor", f'{SEEN}{{{SERVICE},machine=~"$machine"}}', ".*"),
    Variable("axis", f'{SEEN}{{{SERVICE},machine=~"$machine",sensor=~"$sensor"}}', ".*"),
]
ALARMS = f"vibration_alarm_state{{{CHANNEL}}} == 2"
# A channel whose calibration is a file that the configuration names has no baseline; then the time of the file counts.
BASELINE_AT_MS = (
    f"(vibration_baseline_changed_timestamp_seconds{{{CHANNEL}}} or ignoring (change) "
    f"vibration_calibration_timestamp_seconds{{{CHANNEL}}}) * 1000"
)
SILENT = f"{SEEN}{{{CHANNEL}}} unless vibration_channel_calibrated{{{CHANNEL}}}"
RED_ABOVE_ONE = {1.0: "red"}


def rate(metric: str, by: str = "instance", select: str = SERVICE) -> str:
    """PromQL for the rate of a counter, summed."""
    return f"sum by ({by}) (rate({metric}{{{select}}}{RATE}))"


def either(mqtt: str, kafka: str) -> str:
    """PromQL for what arrives a second, over MQTT or from Kafka."""
    return f"{rate(f'vibration_mqtt_{mqtt}_received_total')} or {rate(f'vibration_kafka_{kafka}_received_total')}"


def quantile(share: float, metric: str, by: str = "instance") -> str:
    """PromQL for a quantile of a histogram."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{{SERVICE}}}{RATE})))"


FLEET = [
    Panel(
        "Channels", "none", "All channels of the selected daemons, including silent ones.",
        {"channels": f"count({SEEN}{{{CHANNEL}}})"}, "stat", 4, 4,
    ),
    Panel(
        "In alarm", "none", "Channels whose alarm state is 2.",
        {"alarm": f"count({ALARMS}) or vector(0)"}, "stat", 4, 4, RED_ABOVE_ONE,
    ),
    Panel(
        "In warning", "none", "Channels whose alarm state is 1.",
        {"warning": f"count(vibration_alarm_state{{{CHANNEL}}} == 1) or vector(0)"}, "stat", 4, 4, {1.0: "orange"},
    ),
    Panel(
        "Silent", "none", "Channels that have stopped sending samples: their machines are not monitored.",
        {"silent": f"count({SILENT}) or vector(0)"}, "stat", 4, 4, {1.0: "orange"},
    ),
    Panel(
        "Without calibration", "none", "Channels that send samples but have no calibration, and so no score.",
        {"uncalibrated": f"count(vibration_channel_calibrated{{{CHANNEL}}} == 0) or vector(0)"},
        "stat", 4, 4, {1.0: "orange"},
    ),
    Panel(
        "Lowest coverage", "percentunit", "Blocks scored / blocks received, of the channel with the lowest value.",
        {"coverage": f"min(vibration_coverage_ratio{{{CHANNEL}}})"}, "stat", 4, 4, limits=(0, 1),
    ),
    Panel(
        "Worst channels", "none",
        "The twenty highest anomaly scores now; 1 is the calibrated limit. Click one to show the channel.",
        {NAME: f"sort_desc(topk(20, vibration_anomaly_score{{{CHANNEL}}}))"},
        "bargauge", 12, 12, RED_ABOVE_ONE, links=[TO_MACHINE],
    ),
    Panel(
        "State of each machine", "none", "The worst alarm state of a machine's channels over time.",
        {"{{machine}}": f"max by (machine) (vibration_alarm_state{{{CHANNEL}}})"},
        "state-timeline", 12, 12, mappings=STATES,
    ),
    Panel(
        "Score of each machine", "none", "The highest anomaly score of a machine's channels; 1 is the limit.",
        {"{{machine}}": f"max by (machine) (vibration_anomaly_score{{{CHANNEL}}})"}, steps=RED_ABOVE_ONE,
    ),
    Panel(
        "Coverage of each machine", "percentunit",
        "Blocks scored / blocks received, of the machine's channel with the lowest value. Under 100 %: samples are "
        "missing, the machine is stopped, or the daemon is overloaded.",
        {"{{machine}}": f"min by (machine) (vibration_coverage_ratio{{{CHANNEL}}})"}, limits=(0, 1),
    ),
    Panel(
        "Longest without samples", "s", "Time since the last samples, of the twenty channels with the longest.",
        {NAME: f"sort_desc(topk(20, time() - {SEEN}{{{CHANNEL}}}))"},
        "bargauge", 12, 10, {45.0: "orange"}, links=[TO_MACHINE],
    ),
    Panel(
        "Samples missing", "percentunit",
        "Samples known to be missing between messages, as a share of the expected samples.",
        {
            "{{machine}}": f"{rate('vibration_samples_missing_total', 'machine', CHANNEL)} / "
            f"({rate('vibration_samples_missing_total', 'machine', CHANNEL)} + "
            f"{rate('vibration_samples_received_total', 'machine', CHANNEL)})"
        },
        height=10, limits=(0, None),
    ),
]  # fmt: skip

MACHINE = [
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

SERVICE_PANELS = [
    Panel(
        "Answers", "none", "Whether Prometheus can scrape the daemon.",
        {"{{instance}}": f'up{{job="vibration-monitor",{SERVICE}}}'}, "stat", 4, 4, mappings=YES_NO,
    ),
    Panel(
        "Broker", "none", "Whether the daemon is connected to the broker and subscribed.",
        {"{{instance}}": f"vibration_mqtt_connected{{{SERVICE}}} or vibration_kafka_connected{{{SERVICE}}}"},
        "stat", 4, 4, mappings=YES_NO,
    ),
    Panel(
        "Configuration loaded", "none",
        "Whether the last reload succeeded; if not, the previous configuration is in use.",
        {"{{instance}}": f"vibration_config_last_reload_successful{{{SERVICE}}}"}, "stat", 4, 4, mappings=YES_NO,
    ),
    Panel(
        "Running for", "s", "Time since the start of the process.",
        {"{{instance}}": f"time() - (process_start_time_seconds and on (instance) vibration_build_info{{{SERVICE}}})"},
        "stat", 4, 4,
    ),
    Panel(
        "Version", "none", "Version of each daemon.",
        {"{{version}}": f"vibration_build_info{{{SERVICE}}}"}, "stat", 4, 4,
    ),
    Panel(
        "Model", "none", "Model, engine and device in use.",
        {"{{model}} on {{engine}} ({{device}})": f"vibration_model_info{{{SERVICE}}}"}, "stat", 4, 4,
    ),
    Panel(
        "Messages", "suffix: messages/s", "Messages from the broker.",
        {"{{instance}}": either("messages", "records")}, width=8,
    ),
    Panel(
        "Payload", "Bps", "Payload bytes from the broker.",
        {"{{instance}}": either("bytes", "bytes")}, width=8,
    ),
    Panel(
        "Messages rejected", "suffix: messages/s", "Rejected messages, by reason.",
        {"{{reason}}": rate("vibration_messages_rejected_total", "reason")}, width=8,
    ),
    Panel(
        "Blocks", "suffix: blocks/s", "Blocks received and scored; the two lines coincide when all is well.",
        {
            "received {{instance}}": rate("vibration_blocks_received_total"),
            "scored {{instance}}": rate("vibration_blocks_scored_total"),
        },
        width=8,
    ),
    Panel(
        "Blocks not scored", "suffix: blocks/s",
        "Blocks that were not scored, by reason. Overload: this host is too slow for its channels.",
        {"{{reason}}": rate("vibration_blocks_skipped_total", "reason")}, width=8,
    ),
    Panel(
        "Coverage", "percentunit",
        "Blocks scored / blocks received, over all channels and of the channel with the lowest value.",
        {
            "all {{instance}}": f"{rate('vibration_blocks_scored_total')} / {rate('vibration_blocks_received_total')}",
            "least {{instance}}": f"min by (instance) (vibration_coverage_ratio{{{SERVICE}}})",
        },
        width=8, limits=(0, 1),
    ),
    Panel(
        "Sample to score", "s", "Time from the arrival of a block's last sample to its score.",
        {
            "median {{instance}}": quantile(0.5, "vibration_sample_to_score_seconds"),
            "99 % {{instance}}": quantile(0.99, "vibration_sample_to_score_seconds"),
        },
        width=8,
    ),
    Panel(
        "Time of a batch", "s", "Time that the pipeline takes for a batch.",
        {
            "median {{engine}}": quantile(0.5, "vibration_inference_duration_seconds", "engine"),
            "99 % {{engine}}": quantile(0.99, "vibration_inference_duration_seconds", "engine"),
        },
        width=8,
    ),
    Panel(
        "Blocks in a batch", "none", "Larger batches cost less per block.",
        {
            "mean {{engine}}": f"{rate('vibration_inference_batch_size_sum', 'engine')} / "
            f"{rate('vibration_inference_batch_size_count', 'engine')}",
            "99 % {{engine}}": quantile(0.99, "vibration_inference_batch_size", "engine"),
        },
        width=8,
    ),
    Panel(
        "Oldest waiting block", "s",
        "Age of the oldest block without a score. Under overload it reaches three quarters of limits.buffer, then the "
        "backlog is dropped. If it goes beyond, an inference process hangs.",
        {"{{instance}}": f"vibration_oldest_unscored_block_age_seconds{{{SERVICE}}}"}, width=8,
    ),
    Panel(
        "Queue", "percentunit", "Samples waiting for inference, as a share of the buffers' capacity.",
        {"{{instance}}": f"vibration_queue_bytes{{{SERVICE}}} / vibration_queue_limit_bytes{{{SERVICE}}}"},
        width=8, limits=(0, 1), steps={0.75: "red"},
    ),
    Panel(
        "Channels", "percentunit", "Number of channels, as a share of limits.channels; further channels are rejected.",
        {"{{instance}}": f"vibration_channels{{{SERVICE}}} / vibration_channels_limit{{{SERVICE}}}"},
        width=8, limits=(0, 1), steps={0.9: "orange"},
    ),
    Panel(
        "Memory", "bytes", "Resident memory of each process, including shared buffers. It is constant under any load.",
        {
            "{{instance}}": f"process_resident_memory_bytes and on (instance) vibration_build_info{{{SERVICE}}}",
            "{{instance}} {{model}} {{worker}}": f"vibration_worker_resident_memory_bytes{{{SERVICE}}}",
        },
        width=8,
    ),
    Panel(
        "CPU", "none", "CPU cores used by each process.",
        {
            "{{instance}}": f"rate(process_cpu_seconds_total{RATE}) "
            f"and on (instance) vibration_build_info{{{SERVICE}}}",
            "{{instance}} {{model}} {{worker}}": f"rate(vibration_worker_cpu_seconds_total{{{SERVICE}}}{RATE})",
        },
        width=8,
    ),
    Panel(
        "Open files", "none", "Open file descriptors, and the HTTP connections among them.",
        {
            "{{instance}}": f"process_open_fds and on (instance) vibration_build_info{{{SERVICE}}}",
            "HTTP {{instance}}": f"vibration_http_connections{{{SERVICE}}}",
        },
        width=8,
    ),
    Panel(
        "Internal errors", "none",
        "Unexpected errors in the time shown, by what was being handled. The log has the tracebacks.",
        {"{{where}}": f"increase(vibration_internal_errors_total{{{SERVICE}}}[$__range])"}, "stat", 8, 6, {1.0: "red"},
    ),
    Panel(
        "Reconnects", "none", "Connections to the broker after the first, in the time shown.",
        {"{{instance}}": f"increase(vibration_mqtt_reconnects_total{{{SERVICE}}}[$__range])"}, "stat", 8, 6,
    ),
    Panel(
        "Files", "none", "Evidence files written, and failed writes of evidence and state, in the time shown.",
        {
            "evidence": f"sum(increase(vibration_evidence_files_written_total{{{SERVICE}}}[$__range]))",
            "evidence failed": f"sum(increase(vibration_evidence_write_failures_total{{{SERVICE}}}[$__range]))",
            "state failed": f"sum(increase(vibration_state_write_failures_total{{{SERVICE}}}[$__range]))",
        },
        "stat", 8, 6,
    ),
    Panel(
        "Certificates", "s", "Time until a certificate expires. Empty without TLS.",
        {"{{file}}": f"vibration_certificate_expiry_timestamp_seconds{{{SERVICE}}} - time()"},
        "stat", 8, 6, limits=(None, None),
    ),
]  # fmt: skip

DASHBOARDS = {
    "fleet": Dashboard(
        "Vibration: fleet", "Which machine needs attention, and which is not monitored?", CHANNELS, FLEET
    ),
    "machine": Dashboard(
        "Vibration: machine", "How is this machine, since when, and what is the evidence?", CHANNELS, MACHINE
    ),
    "service": Dashboard(
        "Vibration: service", "Is the monitor healthy, and how much headroom does it have?", DAEMONS, SERVICE_PANELS
    ),
}  # fmt: skip
