# ruff: noqa: INP001 - scripts beside their output, not a package
"""The dashboard of all machines: which needs attention, and which is not monitored."""

from panel import Dashboard, Panel
from queries import ALARMS, CHANNEL, CHANNELS, NAME, RED_ABOVE_ONE, SEEN, STATES, rate

TO_MACHINE = {
    "title": "Show this channel",
    "url": "/d/vibration-machine?${datasource:queryparam}&var-machine=${__field.labels.machine}"
    "&var-sensor=${__field.labels.sensor}&var-axis=${__field.labels.axis}&${__url_time_range}",
}

SILENT = f"{SEEN}{{{CHANNEL}}} unless vibration_channel_calibrated{{{CHANNEL}}}"

PANELS = [
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

DASHBOARD = Dashboard(
    "Vibration: fleet", "Which machine needs attention, and which is not monitored?", CHANNELS, PANELS
)
