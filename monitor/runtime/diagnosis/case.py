"""What is known of one channel's fault: the looks at it, and what they name together.

Over the life of an alarm a channel is looked at again and again. A part is named where at least half of the last looks
name it. Its p-value is then twice their median, a look that does not name it counting as 1: a bound that holds however
much the looks depend on each other (Rüger, "Das maximale Signifikanzniveau des Tests", Metrika 25, 1978).
"""

from collections import deque
from dataclasses import dataclass, field, replace

from monitor.core.diagnosis.naming import Finding, Part
from monitor.runtime.diagnosis.messages import Seen

LAST_LOOKS = 8
"""Looks that are taken together. Fewer: a name comes and goes. More: a fault that changes keeps its old name."""

MOST_KEPT = 96
"""Looks whose depths are kept for the trend, sixteen hours of an alarm."""


@dataclass(frozen=True)
class Kept:
    """What is kept of one look."""

    at_s: float
    """UNIX seconds."""
    faults: dict[Part, Finding]
    """What it named."""
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
    with_healthy: bool = False
    """Whether the last look compared with the healthy machine."""

    def add(self, seen: Seen, at_s: float, *, with_healthy: bool) -> None:
        """Add a look."""
        found = seen.diagnosis
        self.kept.append(Kept(at_s, {(one.fault, one.part): one for one in found.faults}, found.depths))
        self.looks += 1
        self.latest, self.problem, self.with_healthy = seen, None, with_healthy

    def named(self) -> list[Finding]:
        """What the last looks name together, the most significant first."""
        last = list(self.kept)[-LAST_LOOKS:]
        found = []
        for part in {part: None for look in last for part in look.faults}:
            those = [look.faults[part] for look in last if part in look.faults]
            if 2 * len(those) < len(last):
                continue
            if len(last) == 1:
                found.append(those[0])
                continue
            values = sorted(look.faults[part].p_value if part in look.faults else 1.0 for look in last)
            median = values[(len(values) + 1) // 2 - 1]
            found.append(replace(those[-1], p_value=min(1.0, len(values) / ((len(values) + 1) // 2) * median)))
        return sorted(found, key=lambda one: (one.p_value, -one.depth))

    @property
    def at_s(self) -> float | None:
        """UNIX seconds of the last look; None: there was none."""
        return self.kept[-1].at_s if self.kept else None

    @property
    def reason(self) -> str | None:
        """Why nothing is named, and what else could not be found; None: nothing to say."""
        if self.latest is None:
            return self.problem
        reasons = list(self.latest.diagnosis.reasons)
        if self.latest.diagnosis.faults and not self.named():
            reasons.insert(0, "the looks at it do not agree")
        return "; ".join([*([self.problem] if self.problem else []), *reasons]) or None
