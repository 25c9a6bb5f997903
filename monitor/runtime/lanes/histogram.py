"""Prometheus histograms that observe whole arrays.

The histogram of prometheus-client takes one value for each call, which is too slow for one value for each block.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self

import numpy as np

from monitor.core.arrays import Float64, Int64, Zeros


class Histogram:
    """Counts of values in buckets with inclusive upper bounds, and their sum; each part has one writer."""

    def __init__(self, bounds: Sequence[float], parts: int = 1, zeros: Zeros = np.zeros) -> None:
        self.bounds = np.asarray(bounds, np.float64)
        self._counts: Int64 = zeros((parts, len(bounds) + 1), np.int64)
        self._sums: Float64 = zeros(parts, np.float64)

    def part(self, number: int) -> Self:
        """One part as a histogram of its own, for its writer."""
        part = copy(self)
        part._counts, part._sums = self._counts[number : number + 1], self._sums[number : number + 1]  # noqa: SLF001
        return part

    @property
    def counts(self) -> Int64:
        """(buckets + 1,) number of values in each bucket, over all parts."""
        total: Int64 = self._counts.sum(axis=0)
        return total

    @property
    def sum(self) -> float:
        """Sum of all observed values."""
        return float(self._sums.sum())

    def observe(self, values: Float64) -> None:
        """Count all ``values``; NaN counts as above every bound."""
        self._counts[0] += np.bincount(np.searchsorted(self.bounds, values), minlength=self.bounds.size + 1)
        self._sums[0] += float(values.sum())

    def observe_one(self, value: float) -> None:
        """Count one value."""
        self._counts[0, int(np.searchsorted(self.bounds, value))] += 1
        self._sums[0] += value

    def part_totals(self, number: int) -> tuple[Int64, float]:
        """Counts of one part, (buckets + 1,), and its sum; copies."""
        return self._counts[number].copy(), float(self._sums[number])

    def totals(self, parts: Iterable[tuple[Int64, float]]) -> tuple[list[tuple[str, int]], float]:
        """Pairs of the label ``le`` and the cumulative count up to it, ending with ``+Inf``; and the sum.

        The label is written as OpenMetrics asks for, ``1.0`` and not ``1``, so that it is the same in every format.

        Args:
            parts: the result of :meth:`part_totals` for each part.
        """
        counts, total = np.zeros_like(self._counts[0]), 0.0
        for of_part, sum_of_part in parts:
            counts += of_part
            total += sum_of_part
        upto = np.cumsum(counts).tolist()
        labels = [*map(str, self.bounds.tolist()), "+Inf"]
        return list(zip(labels, upto, strict=True)), total

    def quantile(self, q: float, before: Int64 | None = None) -> float:
        """The upper bound of the bucket that holds quantile ``q``; NaN without values.

        Args:
            q: between 0 and 1.
            before: counts at an earlier time; only values observed since then count.
        """
        counts = self.counts if before is None else self.counts - before
        total = int(counts.sum())
        if not total:
            return float("nan")
        index = int(np.searchsorted(np.cumsum(counts), q * total))
        return float(self.bounds[index]) if index < self.bounds.size else float("inf")
