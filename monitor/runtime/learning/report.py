"""The log lines about learning, and how often it started again."""

import logging
from collections import Counter
from datetime import UTC, datetime

from monitor.core.learning.bursts import Burst
from monitor.runtime.intake.channel import Channel, ChannelState
from monitor.runtime.learning.messages import CHANGED, Calibrated, Opened
from monitor.runtime.learning.one_channel import ChannelLearning, Restart

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
        "does not learn, no interval is complete: channel=%s interval_s=%g; messages are lost, or its sensor sends "
        "bursts of very different lengths. Choose a shorter scoring.interval, or give it a calibration",
        one.channel.name,
        one.order.interval_blocks * one.block_s,
    )


def report_bursts(one: ChannelLearning, burst: Burst) -> None:
    """Log that a channel learns from bursts."""
    LOG.info(
        "sends bursts, each is an interval: channel=%s burst_s=%g every_s=%.3g",
        one.channel.name,
        burst.blocks * one.block_s,
        burst.every_s,
    )


class Restarts:
    """Counts and logs that the learning of a channel starts again."""

    def __init__(self) -> None:
        self._count: Counter[Restart] = Counter()

    def add(self, channel: Channel, why: Restart, more: str = "") -> None:
        """Count and log one."""
        self._count[why] += 1
        LOG.warning("learning starts again: channel=%s reason=%s %s", channel.name, why, more)

    def opened(self, one: ChannelLearning, answer: Opened) -> None:
        """Count and log if what was kept of a channel is not used, or not there."""
        if one.extending and not answer.known:
            LOG.warning("nothing to extend is kept, it is learned anew: channel=%s", one.channel.name)
        if answer.problem:
            why = Restart.CHANGED if answer.problem == CHANGED else Restart.UNREADABLE
            self.add(one.channel, why, answer.problem)

    def counted(self) -> dict[str, int]:
        """How often that was, by every reason."""
        return {reason.value: self._count[reason] for reason in Restart}
