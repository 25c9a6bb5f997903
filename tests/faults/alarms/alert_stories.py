"""What fires in each state of a plant, a daemon, a loaded worker and a cluster.

``test_alerts.py`` brings real ones into these states; an alert of the rules file that is not here fails it.
"""

from tests.faults.alarms.recorded_pages import Alert

WARNING, CRITICAL = "warning", "critical"

CHANNELS: set[Alert] = {
    ("AnomalyAlarm", CRITICAL, "failing"),
    ("AnomalyAlarm", CRITICAL, "torn"),
    ("SilentInAlarm", CRITICAL, "torn"),
    ("ChannelSilent", WARNING, "torn"),
    ("ChannelSilent", WARNING, "silent"),
    ("ScoreMissing", WARNING, "clipped"),
    ("ScoreMissing", WARNING, "counts"),
    ("ScoreMissing", WARNING, "slow"),
    ("ConditionUnknown", WARNING, "fast"),
    ("CoverageLow", WARNING, "lossy"),
    ("VelocityZoneC", WARNING, "shaking"),
    ("VelocityZoneD", CRITICAL, "shaking"),
    ("CalibrationMissing", WARNING, "bare"),
}
LATE: Alert = ("AnomalyAlarm", CRITICAL, "late")
NOT_SENDING = (
    "failing", "torn", "silent", "late", "healthy", "clipped", "counts", "slow", "fast", "driven", "lossy",
    "shaking", "bare",
)  # fmt: skip

PLANT: dict[str, set[Alert]] = {
    "no channels yet": set(),
    "a fault begins": CHANNELS
    - {("SilentInAlarm", CRITICAL, "torn"), ("ChannelSilent", WARNING, "torn"), ("ChannelSilent", WARNING, "silent")}
    - {("AnomalyAlarm", CRITICAL, "failing")}
    | {("AnomalyWarning", WARNING, "failing")},
    "alarms and silences": CHANNELS,
    "nothing can be written, nothing can be read": CHANNELS
    | {
        LATE,
        ("StateNotSaved", WARNING, ""),
        ("EvidenceNotSaved", WARNING, ""),
        ("MessagesRejected", WARNING, ""),
        ("ReloadFailed", WARNING, ""),
    },
    "all of that repaired": CHANNELS | {LATE},
    "the broker is gone": {("BrokerDisconnected", CRITICAL, ""), LATE}
    | {alert for alert in CHANNELS if alert[0] in {"AnomalyAlarm", "SilentInAlarm"}}
    | {("SilentInAlarm", CRITICAL, machine) for machine in ("failing", "late")}
    | {("ChannelSilent", WARNING, machine) for machine in NOT_SENDING},
    "the daemon is gone": {("DaemonDown", CRITICAL, "")},
}
"""What happens to one daemon, and what fires twenty minutes later."""

SERVICE: dict[str, set[Alert]] = {
    "an internal error": {("CertificateExpiring", CRITICAL, ""), ("InternalErrors", WARNING, "")},
    "connections do not last": {("CertificateExpiring", CRITICAL, ""), ("BrokerUnstable", WARNING, "")},
    "second start": {("CertificateExpiring", CRITICAL, ""), ("BrokerUnstable", WARNING, "")},
    "third start": {("CertificateExpiring", CRITICAL, ""), ("BrokerUnstable", WARNING, "")},
    "fourth start": {
        ("CertificateExpiring", CRITICAL, ""),
        ("BrokerUnstable", WARNING, ""),
        ("DaemonRestarting", WARNING, ""),
    },
    "an hour later": {("CertificateExpiring", CRITICAL, ""), ("CertificateExpiring", WARNING, "")},
}

LOAD: dict[str, set[Alert]] = {
    "no load": set(),
    "more than a worker can do": {("Overload", WARNING, ""), ("CalibrationMissing", WARNING, "")},
    # Under systemd the watchdog ends this within a minute.
    "the worker hangs": {("MessagesRejected", WARNING, ""), ("CalibrationMissing", WARNING, "")},
}

KAFKA: dict[str, set[Alert]] = {
    "records come as fast as they are scored": {("CalibrationMissing", WARNING, "")},
    "the worker hangs, and records wait": {("KafkaBehind", WARNING, ""), ("CalibrationMissing", WARNING, "")},
    "the cluster is gone": {("BrokerDisconnected", CRITICAL, ""), ("CalibrationMissing", WARNING, "")},
}
