"""Finds the measured quantities of a recording that its file holds beside the samples.

A quantity is an array of its name in the same file (in HDF5 the nearest group takes precedence), or a column or channel
of that name in the array of the samples. It has one value a sample, one a record, or is a single number.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.recording.readers.contents import Contents, Layout, Stored


class Beside(NamedTuple):
    """A measured quantity in the file of a recording."""

    stored: Stored
    """The array that holds it."""
    layout: Layout
    """Its values as (records, samples, channels): as many as samples; or 1 record of one value for each record of the
    samples; or a single value."""
    channel: int
    """Index of the channel in the array."""


def is_quantity(key: str, names: Sequence[str]) -> bool:
    """Whether an array of a file is one of the quantities ``names``; the key may be a path."""
    return key.rpartition("/")[2] in names


def beside(
    samples: Stored, layout: Layout, channels: Sequence[str], contents: Contents, names: Sequence[str]
) -> Mapping[str, Beside | str]:
    """Find quantities beside the samples.

    Args:
        samples: the array of the samples.
        layout: its layout.
        channels: names of its channels.
        contents: contents of the file.
        names: of the quantities.

    Returns:
        Those that the file has, by name; or the reason why an array of such a name cannot be used: it holds no
        numbers, or not as many as there are samples or records.
    """
    found: dict[str, Beside | str] = {}
    for name in names:
        if name in channels:
            found[name] = Beside(samples, layout, channels.index(name))
            continue
        groups = samples.key.split("/")[:-1]
        for depth in range(len(groups), -1, -1):
            key = "/".join([*groups[:depth], name])
            stored = contents.arrays.get(key) or contents.numbers.get(key)
            if stored or key in contents.unusable:
                found[name] = _fitted(stored, layout) if stored else contents.unusable[key]
                break
    return found


def _fitted(stored: Stored, samples: Layout) -> Beside | str:
    axes = tuple(axis for axis in stored.shape if axis != 1)
    if not axes:
        return Beside(stored, Layout(1, 1, 1), 0)
    if axes == tuple(axis for axis in (samples.records, samples.samples) if axis != 1):
        return Beside(stored, Layout(samples.records, samples.samples, 1), 0)
    if axes == (samples.records,):
        return Beside(stored, Layout(1, samples.records, 1), 0)
    several = samples.records > 1
    records, each = (f"{samples.records:,} records of ", ", one a record") if several else ("", "")
    return (
        f"has the shape {stored.shape}, but there are {records}{samples.samples:,} samples; expected one value a "
        f"sample{each} or a single number"
    )
