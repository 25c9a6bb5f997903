"""Frequency bands of a block, and the ways in which a fault may raise them.

The residual of a block, whitened, is taken apart into cosine components; neighbouring ones are pooled into bands. A
fault rings in some band of unknown place and width, so many candidates are looked at together: windows of several
widths at every place. Refuses to know: rates, machines, limits.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from monitor.core.arrays import Float32, Float64, Int64

MOST_BANDS = 20
"""Bands of a block. Fewer: a narrow resonance is diluted. More: each holds few components, and healthy bands spread."""

WIDTHS = (1, 2, 4, 10, 20)
"""Widths of the windows, in bands. Faults measured so far filled a tenth to a half of the range."""

WIDE_BANDS = 4
"""Equal parts of the range in which the burstiness over time is looked at, beside the whole."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the components of a block of ``block_samples`` are pooled."""

    block_samples: int
    """Components, as many as samples."""
    pool: Float32
    """(block_samples, bands) averaging weights, columns sum to 1."""
    edges: Int64
    """(bands + 1,) first component of each band, and the end."""
    windows: Float32
    """(bands, windows) averaging weights of the windows, columns sum to 1."""
    window_bands: Int64
    """(windows, 2) first band and end of each window."""
    window_prior: Float64
    """(windows,) share of each window before anything is seen: equal for every width, sums to 1."""
    wide: Float32
    """(bands, parts) averaging weights of the wide parts and, last, of the whole range."""

    @property
    def bands(self) -> int:
        """Number of bands."""
        return int(self.pool.shape[1])


@cache
def layout(block_samples: int) -> Layout:
    """The bands of blocks of ``block_samples`` (at least 4) samples."""
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
