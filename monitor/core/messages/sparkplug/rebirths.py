"""Which nodes are to be asked to send their births again, and how often.

A node is asked once. It is asked again only if it answered and something new is missing, or after a long time without
an answer.
"""

from collections.abc import Callable

from monitor.core.messages.sparkplug.addresses import NodeName

ASK_AGAIN_S = 60.0
"""Shortest time in seconds between two requests to a node that answers. Shorter: a node that loses messages all the
time sends births all the time. Longer: after the second loss its data is understood later."""

UNANSWERED_S = 600.0
"""Time in seconds after which a node that did not answer is asked again. Shorter: a node that cannot answer is asked
more often. Longer: an answer that got lost delays its data."""


class Rebirths:
    """Requests for births."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Ask no node; ``clock`` returns monotonic seconds."""
        self.requested = 0
        """Requests so far."""
        self._clock = clock
        self._asks = False
        self._most = 0
        self._next_s: dict[NodeName, float] = {}
        self._due: list[NodeName] = []

    def configure(self, most: int, *, asks: bool) -> None:
        """Set whether nodes are asked, and how many are remembered."""
        self._most, self._asks = most, asks

    def want(self, node: NodeName) -> None:
        """Note that births of a node are missing."""
        now_s = self._clock()
        if not self._asks or now_s < self._next_s.get(node, 0.0):
            return
        if node not in self._next_s and len(self._next_s) >= self._most:
            self._next_s = {asked: at_s for asked, at_s in self._next_s.items() if at_s > now_s}
            if len(self._next_s) >= self._most:
                return
        self._next_s[node] = now_s + UNANSWERED_S
        self._due.append(node)

    def answered(self, node: NodeName) -> None:
        """Note that a node sends its births."""
        at_s = self._next_s.get(node)
        if at_s is not None:
            self._next_s[node] = min(at_s, self._clock() + ASK_AGAIN_S)

    def due(self) -> list[NodeName]:
        """The nodes to ask now, each once."""
        found, self._due = self._due, []
        self.requested += len(found)
        return found
