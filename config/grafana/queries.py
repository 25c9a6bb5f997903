# ruff: noqa: INP001 - scripts beside their output, not a package
"""What the dashboards share: labels of channels, selectors above the panels, PromQL of rates and quantiles."""

from panel import Variable

SERVICE = 'instance=~"$instance"'
CHANNEL = f'{SERVICE},machine=~"$machine",sensor=~"$sensor",axis=~"$axis"'
NAME = "{{machine}}/{{sensor}}/{{axis}}"
RATE = "[$__rate_interval]"

STATES = [
    {"type": "value", "options": {"0": {"text": "ok", "color": "green", "index": 0}}},
    {"type": "value", "options": {"1": {"text": "warning", "color": "orange", "index": 1}}},
    {"type": "value", "options": {"2": {"text": "alarm", "color": "red", "index": 2}}},
]
RED_ABOVE_ONE = {1.0: "red"}

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


def rate(metric: str, by: str = "instance", select: str = SERVICE) -> str:
    """PromQL for the rate of a counter, summed."""
    return f"sum by ({by}) (rate({metric}{{{select}}}{RATE}))"


def either(mqtt: str, kafka: str) -> str:
    """PromQL for what arrives a second, over MQTT or from Kafka."""
    return f"{rate(f'vibration_mqtt_{mqtt}_received_total')} or {rate(f'vibration_kafka_{kafka}_received_total')}"


def quantile(share: float, metric: str, by: str = "instance") -> str:
    """PromQL for a quantile of a histogram."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{{SERVICE}}}{RATE})))"
