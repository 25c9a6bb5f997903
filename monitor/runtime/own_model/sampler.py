"""Samples the first hour of all channels for the plant's own model: stretches, evenly over each channel's running time.

The samples are copied from the rings, where they lie anyway, so nothing is done for each block. A stretch is taken only
where its channel sent without a break, at the right rate, and where it is a measurement of a running machine. What one
look costs is bounded, and what channel and plant take on disk. Does not handle: writing (``Samples``).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from monitor.config.configuration import Learning as Settings
from monitor.core.arrays import Float32, Int8
from monitor.core.samples.rings import Rings
from monitor.core.scoring.plausibility import CLIPPED_SHARE, FLAT_SHARE, IMPLAUSIBLE_MPS2, STOPPED_SHARE
from monitor.model.own.samples import FEWEST_STRETCHES, PLANT_BYTES, About, Samples, share
from monitor.runtime.intake.channel import Channel

MOST_AT_ONCE = 20
"""Most stretches that one look copies, in 3 ms. Fewer: with a thousand channels some wait long. More: the event loop
waits."""

PATIENCE = 4.0
"""Multiple of the time to sample after which channels that have not run for all of it are not waited for. Lower:
machines that run now and then are left out. Higher: the others wait for them."""

LOUDER = 3
"""Consecutive stretches so loud that the ones so far were a standstill. Fewer: a shock starts the channel again. More:
longer until it does."""


@dataclass
class _One:
    """Where one channel is."""

    slug: str
    about: About
    received: int
    rms: list[float] = field(default_factory=list)
    """RMS of each stretch that was taken."""
    heard_s: float = 0.0
    """Seconds of samples since it is looked at."""
    due_s: float = 0.0
    """Where the next stretch is due, in the same seconds."""
    stands: bool = False
    louder: int = 0


@dataclass(frozen=True)
class Taken:
    """A stretch that is to be written."""

    slug: str
    """Beginning of the name of its channel's file."""
    samples: Float32
    """(samples,) in m/s²."""
    before: int
    """Stretches that the file has before it."""


class Sampler:
    """Looks at the channels of one lane; on the event loop."""

    def __init__(self, samples: Samples, stretch_samples: int) -> None:
        """Go on where an earlier run ended.

        Args:
            samples: the files.
            stretch_samples: samples in a stretch.
        """
        self.samples = samples
        self.waited_s = 0.0
        """Seconds during which samples came."""
        self._size = stretch_samples
        self._ones: dict[str, _One] = {}
        self._kept = {slug: self._rms(slug) for slug in samples.abouts}

    def look(
        self, channels: Iterable[tuple[Channel, str]], rings: Rings, refusal: Int8, settings: Settings, passed_s: float
    ) -> list[Taken]:
        """Copy the stretches that are due.

        Args:
            channels: the channels, and the beginning of the names of their files.
            rings: the samples of their lane.
            refusal: (rows,) why the last interval of a row is no measurement; 0: it is one.
            settings: the section of the configuration.
            passed_s: seconds since the last look.
        """
        taken: list[Taken] = []
        any_came, most = False, share(len(self._ones), self._size)
        places = PLANT_BYTES // (4 * self._size * FEWEST_STRETCHES)
        for channel, slug in channels:
            if slug not in self._ones and len(self._ones) >= places:
                continue  # the plant is so large that the first channels speak for all
            one = self._ones.get(slug) or self._begin(channel, slug, settings)
            came = channel.samples_received - one.received
            one.received = channel.samples_received
            if came <= 0 or channel.wrong_rate or refusal[channel.row]:
                continue
            any_came = True
            came_s = came / one.about.sampling_rate_hz
            one.heard_s += came_s
            if not one.stands:
                one.about.ran_s += came_s
            due = one.heard_s >= one.due_s and len(one.rms) < most
            if not due or len(taken) >= MOST_AT_ONCE or self._no_room(len(taken)):
                continue
            _, samples = rings.recent(channel.row, self._size)
            if samples.size == self._size and plausible(samples) and self._runs(one, float(samples.std())):
                taken.append(Taken(slug, samples, len(one.rms) - 1))
                one.due_s = one.heard_s + self._wait_s(one, settings)
            else:
                one.due_s = one.heard_s + self._size / one.about.sampling_rate_hz
        if any_came:
            self.waited_s += passed_s
        return taken

    def lost(self, taken: Taken) -> None:
        """A stretch could not be written."""
        del self._ones[taken.slug].rms[taken.before :]

    def done(self, present: Iterable[str], settings: Settings) -> bool:
        """Whether nothing more is to be sampled.

        Args:
            present: the beginnings of the names of the files of channels that send.
            settings: the section of the configuration.
        """
        if not any(len(one.rms) >= FEWEST_STRETCHES for one in self._ones.values()):
            return self.tired(settings)
        waiting = (slug for slug in present if slug in self._ones and self._share(slug, settings) < 1.0)
        return self._no_room(0) or self.tired(settings) or not any(waiting)

    def tired(self, settings: Settings) -> bool:
        """Whether it has sampled for so long that no channel is waited for any more."""
        return self.waited_s >= PATIENCE * (settings.settle + settings.minimum)

    def progress(self, settings: Settings) -> float:
        """How much of the time has been sampled, 0 to 1, as a mean over the channels."""
        found = [self._share(slug, settings) for slug in self._ones]
        return sum(found) / len(found) if found else 0.0

    def _share(self, slug: str, settings: Settings) -> float:
        return min(1.0, self._ones[slug].about.ran_s / (settings.settle + settings.minimum))

    def _begin(self, channel: Channel, slug: str, settings: Settings) -> _One:
        about = About(channel.name, channel.sensor.sampling_rate_hz, channel.sensor.factor_mps2)
        known = self.samples.abouts.get(slug)
        one = self._ones[slug] = _One(slug, about, channel.samples_received)
        if known is not None and known.same(about):
            one.about.ran_s, one.rms = known.ran_s, self._kept.get(slug, [])
        if not one.rms:
            one.about.ran_s = min(one.about.ran_s, settings.settle)
        self.samples.abouts[slug] = one.about
        one.due_s = self._wait_s(one, settings)
        return one

    def _rms(self, slug: str) -> list[float]:
        rms: list[float] = self.samples.of(slug, self._size).std(axis=1).tolist()
        return rms

    def _wait_s(self, one: _One, settings: Settings) -> float:
        """Seconds until the next stretch of a channel is due: the first after it has settled, then evenly spread."""
        spacing_s = settings.minimum / share(len(self._ones), self._size)
        mark_s = settings.settle + len(one.rms) * spacing_s
        return max(mark_s - one.about.ran_s, self._size / one.about.sampling_rate_hz)

    def _no_room(self, taken: int) -> bool:
        return self.samples.bytes + 4 * self._size * (taken + 1) > PLANT_BYTES

    def _runs(self, one: _One, rms: float) -> bool:
        """Whether a stretch is of the running machine, judged by the ones so far; it then counts as taken."""
        loud = sorted(one.rms)[-2:][:1]
        one.stands = bool(loud) and rms < STOPPED_SHARE * loud[0]
        louder = bool(loud) and loud[0] < STOPPED_SHARE * rms
        one.louder = one.louder + 1 if louder else 0
        if one.louder >= LOUDER:
            one.rms, one.about.ran_s, one.louder, louder = [], 0.0, 0, False
        if one.stands or louder:
            return False
        one.rms.append(rms)
        return True


def plausible(samples: Float32) -> bool:
    """Whether samples (n,) are a measurement; see :mod:`monitor.core.scoring.plausibility`."""
    high, low = samples.max(), samples.min()
    if not (np.isfinite(high) and np.isfinite(low)) or high == low:
        return False
    rms = float(samples.std())
    often = max(int((samples == high).sum()), int((samples == low).sum()))
    flat = rms <= FLAT_SHARE * max(abs(float(high)), abs(float(low)))
    clipped = often >= max(2.0, CLIPPED_SHARE * samples.size)
    return not flat and not clipped and rms <= float(IMPLAUSIBLE_MPS2)
