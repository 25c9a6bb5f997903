"""The operating conditions of recordings: named measured quantities, such as a speed, with one value for every block.

A quantity is stated in the address (``FILE?speed_rpm=1200``) or measured beside the samples. A measured one is read in
step with them: the same part, the same decimation, and then the mean over each block. What is not known is NaN: a block
with a value that is not finite, and a recording that lacks what others of the command have.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from monitor.core.arrays import Float32, Float64, Int64, Numbers
from monitor.errors import RecordingError
from monitor.recording.beside import Beside
from monitor.recording.decimate import Decimator, MeanDecimator
from monitor.recording.described import Described
from monitor.recording.part import same_part
from monitor.recording.readers.contents import Layout
from monitor.recording.source import MAX_MAGNITUDE, Recording

Value = float | list[Float32]
"""One value for a whole recording, or an array (blocks,) for each record that has a whole block."""


@dataclass(frozen=True)
class Conditions:
    """The measured quantities of one recording; those of several recordings of a command have the same names."""

    quantities: Mapping[str, Value]
    """The values by name; NaN where they are not known."""

    def at(self, record: int, blocks: Int64) -> dict[str, Float32]:
        """The values at some blocks.

        Args:
            record: the record, counted from 0 over those that are read and have a whole block.
            blocks: (n,) numbers of blocks in the record.

        Returns:
            (n,) values by name.
        """
        return {
            name: value[record][blocks] if isinstance(value, list) else np.full(blocks.shape, value, np.float32)
            for name, value in self.quantities.items()
        }


def read_conditions(
    described: Sequence[Described], block_samples: int, warn: Callable[[str], None] = lambda _: None
) -> list[Conditions]:
    """Read the measured quantities of the recordings of one command.

    A name that is given for one recording is looked for in the files of all. A quantity is left out if nothing is known
    of it, or if it is measured and zero everywhere, as of a sensor that is not connected.

    Args:
        described: the recordings.
        block_samples: samples of a block, after decimation.
        warn: called with a message for each recording without a quantity, and each quantity that is left out.

    Returns:
        One a recording, all with the same names, in the order in which the names are first given.

    Raises:
        RecordingError: a quantity that is to be in the file is not there, holds no numbers, or has another length than
            the samples; or the file is damaged.
    """
    found: list[dict[str, Value]] = [{} for _ in described]
    for name in dict.fromkeys(name for each in described for name in each.quantities):
        values = [_value(each, name, block_samples) for each in described]
        known = [value for value in values if not np.isnan(_lowest(value))]
        if not known:
            warn(f"{name} has no known value in any recording; it is left out")
            continue
        if all(isinstance(value, list) and _lowest(value) == _highest(value) == 0.0 for value in known):
            warn(
                f"{name} is zero in all recordings, which says nothing: is the sensor connected? It is left out; if it "
                f"really is zero, say {name}=0 after '?'"
            )
            continue
        for each, value, into in zip(described, values, found, strict=True):
            if isinstance(value, float) and np.isnan(value):
                warn(f"{each.recording.name}: has no {name}, unlike other recordings; its blocks count as unknown")
            into[name] = value
    return [Conditions(values) for values in found]


def ranges(conditions: Sequence[Conditions]) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of each quantity over some recordings; NaN if none is known."""
    return {
        name: (
            float(np.fmin.reduce([_lowest(each.quantities[name]) for each in conditions])),
            float(np.fmax.reduce([_highest(each.quantities[name]) for each in conditions])),
        )
        for name in (conditions[0].quantities if conditions else ())
    }


def _lowest(value: Value) -> float:
    return float(np.fmin.reduce(_all(value)))


def _highest(value: Value) -> float:
    return float(np.fmax.reduce(_all(value)))


def _all(value: Value) -> Float64:
    """All values, after one NaN, so that there is one."""
    return np.concatenate([[np.nan], *value] if isinstance(value, list) else [[np.nan], [value]])


def _value(described: Described, name: str, block_samples: int) -> Value:
    stated = described.quantities.get(name)
    if stated is not None:
        return stated
    recording = described.recording
    held = recording.selection.quantities.get(name)
    if isinstance(held, str):
        raise RecordingError(
            f"{recording.address}: '{name}' beside the samples {held}; correct the file, or state the quantity: "
            f"?{name}=NUMBER"
        )
    if held is not None:
        return _by_block(same_part(recording, _measured(recording, name, held)), block_samples)
    if name in described.quantities:
        raise RecordingError(
            f"{recording.address}: there is no array or column '{name}' beside the samples; correct the name, or "
            f"state the quantity: ?{name}=NUMBER"
        )
    return np.nan


def _by_block(measured: Recording, block_samples: int) -> list[Float32]:
    """The mean of each whole block, (blocks,) for each record that has one."""
    found: list[list[Float32]] = []
    mean = MeanDecimator(block_samples)
    for piece in measured.pieces():
        if piece.start_sample == 0:
            mean = MeanDecimator(block_samples)
            found.append([])
        found[-1].append(mean.push(piece.samples).astype(np.float32))
    records = [np.concatenate(parts) for parts in found]
    return [record for record in records if record.size]


def _measured(recording: Recording, name: str, held: Beside) -> "_Measured":
    given: dict[str, Any] = {field.name: getattr(recording, field.name) for field in fields(Recording)}
    selection = replace(recording.selection, stored=held.stored, channel=held.channel)
    given |= {"address": f"{recording.address}?{name}", "unit": None, "selection": selection}
    return _Measured(**given, held=held.layout)


@dataclass(frozen=True)
class _Measured(Recording):
    """A quantity as a recording: one value for each sample of the recording that it belongs to; NaN is allowed."""

    held: Layout
    """The layout of its values; that of the selection is that of the samples."""

    def _decimator(self) -> Decimator:
        return MeanDecimator(self.decimate)

    def _check(self, samples: Numbers, record: int, inside: int) -> None:
        """Accept all values; those that are not finite are NaN already."""

    def _raw(self, layout: Layout, chunk: int) -> Iterator[Numbers]:
        held = self.held
        if (held.records, held.samples) == (layout.records, layout.samples):
            for raw in self._stored(held, chunk):
                yield _known(raw)
            return
        values = _known(np.concatenate(list(self._stored(held, chunk))))
        for value in np.broadcast_to(values, layout.records):
            for start in range(0, layout.samples or 0, chunk):
                yield np.full(min(chunk, (layout.samples or 0) - start), value)

    def _stored(self, layout: Layout, chunk: int) -> Iterator[Numbers]:
        return super()._raw(layout, chunk)


def _known(raw: Numbers) -> Float64:
    """The values as float64, with NaN for all that are not finite or implausibly large."""
    values = raw.astype(np.float64)
    return np.where(np.abs(values) <= MAX_MAGNITUDE, values, np.nan)
