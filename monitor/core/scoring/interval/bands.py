"""Frequency bands of a block, and the windows over them in which a fault is looked for.

The whitened residual of a block is decomposed into cosine components, and neighbouring components are pooled into
bands. A fault raises a range of unknown position and width. So all windows of several widths, at many positions, are
tested together.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from monitor.core.arrays import Float32, Float64, Int64

MOST_BANDS = 20
"""Most bands of a block. Fewer: a narrow resonance is averaged out. More: each band holds few components and varies
more when healthy."""

WIDTHS = (1, 2, 4, 10, 20)
"""Widths of the windows, in bands. Measured faults filled a tenth to a half of the range."""

WIDE_BANDS = 4
"""Equal parts of the range in which burstiness over time is measured, besides the whole range."""

SMALLEST = np.float32(1e-30)
"""Smallest energy whose logarithm is taken; a signal below it is refused as a flat line."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the components of a block are pooled into bands and windows."""

    block_samples: int
    """Samples of a block, and as many components."""
    pool: Float32
    """(block_samples, bands) averaging weights, columns sum to 1."""
    edges: Int64
    """(bands + 1,) first component of each band, then the end of the last."""
    windows: Float32
    """(bands, windows) averaging weights of the windows, columns sum to 1."""
    window_bands: Int64
    """(windows, 2) first band and end of each window."""
    window_prior: Float64
    """(windows,) prior weight of each window: equal totals for every width, sums to 1."""
    wide: Float32
    """(bands, parts) averaging weights of the wide parts; the last column is the whole range."""

    @property
    def bands(self) -> int:
        """Number of bands."""
        return int(self.pool.shape[1])

    @property
    def raw(self) -> int:
        """Number of raw features of an interval; see :func:`monitor.core.scoring.evidence.kinds.raw_features`."""
        return self.bands + int(self.wide.shape[1]) + 3


@cache
def layout(block_samples: int) -> Layout:
    """The layout for blocks of ``block_samples`` samples, at least 4."""
    bands = min(MOST_BANDS, block_samples // 2)
    edges = np.linspace(0, block_samples, bands + 1).astype(np.int64)
    sizes = np.diff(edges)
    pool = np.zeros((block_samples, bands), np.float32)
    for band in range(bands):
        pool[edges[band] : edges[band + 1], band] = 1.0 / sizes[band]
    windows, extents, prior = [], [], []
    widths = [width for width in WIDTHS if width <= bands]
    for width in widths:
        starts = range(0, bands - width + 1, max(1, width // 2))
        for start in starts:
            weight = np.zeros(bands)
            weight[start : start + width] = sizes[start : start + width]
            windows.append(weight / weight.sum())
            extents.append((start, start + width))
            prior.append(1.0 / (len(widths) * len(starts)))
    parts = np.array_split(np.arange(bands), min(WIDE_BANDS, bands))
    wide = np.zeros((bands, len(parts) + 1), np.float32)
    for part, members in enumerate([*parts, np.arange(bands)]):
        wide[members, part] = sizes[members] / sizes[members].sum()
    return Layout(
        block_samples,
        pool,
        edges,
        np.ascontiguousarray(np.array(windows, np.float32).T),
        np.array(extents, np.int64),
        np.array(prior),
        wide,
    )
