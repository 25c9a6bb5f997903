"""Histograms in Prometheus' sense, fed with whole arrays.

prometheus-client's histogram takes one value a call, which is too slow for a value a block. Refuses to know: names.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Histogram:
    """Counts of values in buckets with inclusive upper bounds, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = np.asarray(bounds, np.float64)
        self.counts = np.zeros(len(bounds) + 1, np.int64)
        self.sum = 0.0

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Count all ``values``; NaN counts as above every bound."""
        self.counts += np.bincount(np.searchsorted(self.bounds, values), minlength=self.counts.size)
        self.sum += float(values.sum())

    def observe_one(self, value: float) -> None:
        """Count one value."""
        self.counts[int(np.searchsorted(self.bounds, value))] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, int]]:
        """Pairs of the label ``le`` and the count of values up to it, ending with ``+Inf``."""
        totals = np.cumsum(self.counts).tolist()
        return [*((f"{bound:g}", n) for bound, n in zip(self.bounds, totals, strict=False)), ("+Inf", totals[-1])]

    def quantile(self, q: float) -> float:
        """The upper bound of the bucket that holds quantile ``q``; NaN without values."""
        total = int(self.counts.sum())
        if not total:
            return float("nan")
        index = int(np.searchsorted(np.cumsum(self.counts), q * total))
        return float(self.bounds[index]) if index < self.bounds.size else float("inf")
