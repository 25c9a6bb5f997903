"""A short-lived cache of an answer that is the same for all clients."""

import time
from collections.abc import Callable

FRESH_S = 0.1
"""Age up to which an answer is reused. Shorter: simultaneous scrapers each cost a page. Longer: two scrapes in a row
see the same figures."""

SHARE = 0.1
"""Largest share of the time that making answers may take, however many clients ask. Lower: if an answer takes long,
clients get older figures. Higher: a hostile scraper delays messages."""


class MadeOnce:
    """Caches the latest answer."""

    def __init__(self, make: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        """Cache the result of ``make``; ``clock`` returns monotonic seconds."""
        self._make = make
        self._clock = clock
        self._made = b""
        self._fresh_until_s = -1.0

    def get(self) -> bytes:
        """The answer, at most :data:`FRESH_S` or nine times its making time old; the same object for all clients."""
        began_s = self._clock()
        if began_s >= self._fresh_until_s:
            self._made = self._make()
            ended_s = self._clock()
            self._fresh_until_s = ended_s + max(FRESH_S, (ended_s - began_s) * (1 / SHARE - 1))
        return self._made
