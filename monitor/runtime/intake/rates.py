"""Whether samples arrive at the rate that is configured.

Measured from what was counted anyway, over two half minutes in which samples came without a break, so messages cost
nothing more. Both halves have to be off to the same side: what a stalled connection delivers late is in one of them
only. A sensor that sends bursts has no such minute. Does not handle: the rate that a message or a calibration names.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from monitor.runtime.intake.channel import Channel

LOG = logging.getLogger(__name__)

HALF_S = 30.0
"""Seconds of a half. Shorter: late messages look like another rate. Longer: a wrong rate is scored for longer."""

PERIOD_S = 5.0
"""Seconds between two looks at the counters. Shorter: more work. Longer: a half is longer by as much."""


class RateWatch:
    """Measures the rates of channels."""

    def __init__(
        self,
        channels: Callable[[], Iterable[Channel]],
        tolerance: Callable[[], float],
        on_change: Callable[[Channel], None],
    ) -> None:
        """Make a watch.

        Args:
            channels: those of now.
            tolerance: part by which a rate may differ from the configured one.
            on_change: told of a channel whose ``wrong_rate`` changed.
        """
        self.half_s = HALF_S
        self.period_s = PERIOD_S
        self._channels = channels
        self._tolerance = tolerance
        self._on_change = on_change

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(self.period_s)
            self.look()

    def look(self) -> None:
        """Measure what can be measured now."""
        tolerance, half_s = self._tolerance(), self.half_s
        for channel in self._channels():
            if channel.measured_from_s and channel.last_sample_s - channel.measured_from_s >= half_s:
                self._measure(channel, tolerance)

    def _measure(self, channel: Channel, tolerance: float) -> None:
        end_s, began_s = channel.last_sample_s, channel.measured_from_s
        rate_hz = (channel.samples_received - channel.measured_from_samples) / (end_s - began_s)
        half_end_s, half_hz = channel.half
        channel.half = end_s, rate_hz
        channel.restart_measurement(end_s)
        if half_end_s != began_s:
            return  # the half before ended with a break
        channel.rate_hz = (half_hz + rate_hz) / 2
        configured_hz = channel.sensor.sampling_rate_hz
        off = half_hz / configured_hz - 1, rate_hz / configured_hz - 1
        wrong = min(off) > tolerance or max(off) < -tolerance
        if wrong != channel.wrong_rate:
            channel.wrong_rate = wrong
            LOG.warning(
                "samples arrive at %s rate: channel=%s measured_hz=%.6g configured_hz=%.6g%s",
                "another" if wrong else "the configured",
                channel.name,
                channel.rate_hz,
                configured_hz,
                "; it is not scored. Correct sampling_rate_hz, find who else sends on its topic, or raise "
                "scoring.rate_tolerance"
                if wrong
                else "",
            )
            self._on_change(channel)
