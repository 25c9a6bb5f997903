"""Checks whether samples arrive at the configured rate.

The rate is measured from the existing counters over two uninterrupted half minutes, so it costs nothing for each
message. It is wrong only if both halves deviate in the same direction: late data of a stalled connection falls into one
half only. A sensor that sends bursts is never measured. Does not handle: the rate that a message or a calibration
names.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from monitor.runtime.intake.channel import Channel

LOG = logging.getLogger(__name__)

HALF_S = 30.0
"""Seconds of a half. Shorter: late messages look like a wrong rate. Longer: a wrong rate is detected later."""

PERIOD_S = 5.0
"""Seconds between two checks of the counters. Shorter: more work. Longer: a half is longer by as much."""


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
            channels: returns the present channels.
            tolerance: returns the relative difference from the configured rate that is allowed.
            on_change: called with a channel whose ``wrong_rate`` changed.
        """
        self.half_s = HALF_S
        self.period_s = PERIOD_S
        self._channels = channels
        self._tolerance = tolerance
        self._on_change = on_change

    async def run(self) -> None:
        """Check all channels every ``period_s``, until cancelled."""
        while True:
            await asyncio.sleep(self.period_s)
            self.look()

    def look(self) -> None:
        """Measure the channels that have completed a half."""
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
            return  # the half before it did not end where this one began: the stream was interrupted
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
