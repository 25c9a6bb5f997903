"""As many hostile documents as one wants through ``Ingest.deliver``: ``python -m tests.benchmarks.fuzz 10000000``.

The documents and what is asserted of them are those of ``tests/faults/messages/test_documents.py``, with another seed
for each batch. Prints a line every few seconds. When a document breaks what is asserted, it prints the
smallest that does, and exits with 1. The same numbers send the same documents.
"""

import argparse
import logging
import resource
import sys
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.faults.messages import hostile_documents as hostile
from tests.faults.messages.test_documents import EXAMPLE, Lines, send_all

BATCH = 500
"""Examples of one seed, each some fifty documents. More: Hypothesis remembers them all. Fewer: it begins with the
simplest more often."""

LINE_S = 10.0

MOST_MEMORY_BYTES = 2**31
"""Address space of the process: a document that takes more is an error that gets through."""


def send_batch(number: int, totals: Counter[str]) -> None:
    """Send the documents of one seed; the first that gets through is made small, shown and raised."""

    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(*EXAMPLE)
    def examples(document: object, pack: object, packed: bytes, damage: hostile.Damage) -> None:
        send_all(document, pack, packed, damage, totals)

    examples()


def main() -> int:
    """Send documents until there were enough; 0 if none got through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=int, nargs="?", default=10_000_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first batch")
    arguments = parser.parse_args()
    logging.getLogger("monitor").addHandler(Lines())
    logging.getLogger("monitor").propagate = False
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    totals: Counter[str] = Counter()
    began_s = line_s = time.monotonic()
    number = arguments.seed
    while totals["documents"] < arguments.documents:
        send_batch(number, totals)
        number += 1
        now_s = time.monotonic()
        if now_s - line_s > LINE_S or totals["documents"] >= arguments.documents:
            line_s = now_s
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            rate = totals["documents"] / (now_s - began_s)
            print(f"seed {number - 1}: {rate:.0f} documents/s, peak {peak_mib} MiB, {dict(totals)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
