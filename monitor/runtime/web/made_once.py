"""An answer that is the same for everybody, made once for all who ask at about the same time."""

import time
from collections.abc import Callable

FRESH_S = 0.1
"""Age up to which an answer is given again. Longer: two scrapes in a row see the same figures."""

SHARE = 0.1
"""Share of the time that making it may take, however many ask. Higher: a hostile scraper delays messages. Lower: where
making takes long, simultaneous scrapers get older figures."""


class MadeOnce:
    """Keeps the latest answer for a moment."""

    def __init__(self, make: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        """Give out what ``make`` makes; ``clock`` gives monotonic seconds."""
        self._make = make
        self._clock = clock
        self._made = b""
        self._fresh_until_s = -1.0

    def get(self) -> bytes:
        """The answer, at most :data:`FRESH_S` old or nine times what making it takes; the same object for all."""
        began_s = self._clock()
        if began_s >= self._fresh_until_s:
            self._made = self._make()
            ended_s = self._clock()
            self._fresh_until_s = ended_s + max(FRESH_S, (ended_s - began_s) * (1 / SHARE - 1))
        return self._made
