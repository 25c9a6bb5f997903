"""A desk for diagnoses without a daemon around it."""

import time
from collections.abc import Callable, Mapping

from monitor.runtime.diagnosis.desk import DiagnosisDesk
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.log.internal_errors import InternalErrors


def diagnosis_desk(
    lanes: Callable[[], Mapping[str, Lane]] = dict,
    channels: Callable[[], Mapping[tuple[str, ...], Channel]] = dict,
) -> DiagnosisDesk:
    """A desk that nobody runs."""
    return DiagnosisDesk(None, lanes, channels, time.time, lambda *_: None, InternalErrors(time.monotonic))
