"""The log lines about a calibration that was learned."""

import logging
from datetime import UTC, datetime

from monitor.runtime.intake.channel import ChannelState
from monitor.runtime.learning.messages import Calibrated
from monitor.runtime.learning.one_channel import ChannelLearning

LOG = logging.getLogger(__name__)


def report(one: ChannelLearning, made: Calibrated, *, locked: bool) -> None:
    """Log what was learned, what was set aside, and whether the channel keeps moving away."""
    calibration, name = made.calibration, one.channel.name
    LOG.info(
        "learned: channel=%s state=%s learned_s=%.0f kept_intervals=%.0f aside_intervals=%.0f conditions=%d",
        name,
        ChannelState.WATCHED if locked else ChannelState.PROVISIONAL,
        one.learned_s,
        calibration.intervals,
        calibration.aside_intervals,
        len(calibration.prototypes),
    )
    for first_s, last_s, intervals in made.aside:
        if (first_s, last_s, intervals) not in one.aside:
            LOG.warning(
                "seen once while learning, set aside: channel=%s from=%s to=%s kept_intervals=%d",
                name,
                datetime.fromtimestamp(first_s, UTC).isoformat(),
                datetime.fromtimestamp(last_s, UTC).isoformat(),
                intervals,
            )
    if made.moving:
        LOG.warning(
            "keeps moving away while it learns, a growing fault or running-in: channel=%s distances=%s; it is not "
            "locked and learns on. Look at the machine, or accept what was learned",
            name,
            ",".join(f"{distance:.2f}" for distance in made.curve.tolist()),
        )
    elif one.unsteady:
        LOG.info("steady again: channel=%s", name)


def report_stuck(one: ChannelLearning) -> None:
    """Log that a channel does not learn although samples come."""
    LOG.warning(
        "does not learn, no interval is complete: channel=%s interval_s=%g; its sensor sends bursts, or messages "
        "are lost. Choose a shorter scoring.interval, or give it a calibration",
        one.channel.name,
        one.interval_s,
    )
