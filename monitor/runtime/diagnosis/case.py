"""What is known of one channel's fault: the looks at it, and what they name together.

Over the life of an alarm a channel is looked at again and again. Each look adds its spectra to an average
(:mod:`monitor.core.diagnosis.together`), and what is named is named of the average: after minutes what one look cannot
tell, after hours what minutes cannot.
"""

from collections import deque
from dataclasses import dataclass, field

from monitor.core.diagnosis.naming import Finding, Part
from monitor.core.diagnosis.together import Together
from monitor.runtime.diagnosis.messages import Seen

MOST_KEPT = 96
"""Looks whose depths are kept for the trend, sixteen hours of an alarm."""


@dataclass(frozen=True)
class Kept:
    """What is kept of one look."""

    at_s: float
    """UNIX seconds."""
    faults: dict[Part, Finding]
    """What was named after it."""
    depths: dict[Part, float]
    """Depth of modulation of each part."""


@dataclass
class Case:
    """The looks at one channel since it is not ok, or since somebody asked."""

    channel: str
    """Name of the channel."""
    began_s: float
    """UNIX seconds at which it was begun."""
    alarmed: bool
    """Whether the channel is in warning or alarm."""
    state: int = 0
    """Its alarm state when it was last watched."""
    doing: str = "waiting"
    """``waiting`` for its turn, ``listening``, ``diagnosing`` or ``done`` for now."""
    looks: int = 0
    """Looks so far."""
    kept: deque[Kept] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    """The last looks."""
    latest: Seen | None = None
    """What the last look saw; None: it saw nothing yet."""
    problem: str | None = None
    """Why the last look could not be done; None: it could."""
    due_s: float = 0.0
    """Monotonic instant of the next look."""
    together: Together | None = None
    """What the looks show together; None: there is nothing yet, or no speed."""
    with_healthy: bool = False
    """Whether the last look compared with the healthy machine."""

    def add(self, seen: Seen, at_s: float, *, with_healthy: bool) -> None:
        """Add a look."""
        found = seen.diagnosis
        self.kept.append(Kept(at_s, {one.what: one for one in found.faults}, found.depths))
        self.looks += 1
        self.latest, self.problem, self.with_healthy = seen, None, with_healthy
        self.together, found.together = found.together, None

    def named(self) -> list[Finding]:
        """What the looks name together, the most significant first."""
        return list(self.kept[-1].faults.values()) if self.kept else []

    @property
    def at_s(self) -> float | None:
        """UNIX seconds of the last look; None: there was none."""
        return self.kept[-1].at_s if self.kept else None

    @property
    def reason(self) -> str | None:
        """Why nothing is named, and what else could not be found; None: nothing to say."""
        if self.latest is None:
            return self.problem
        return "; ".join([*([self.problem] if self.problem else []), *self.latest.diagnosis.reasons]) or None
