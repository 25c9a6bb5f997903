"""HDF5 files (``.h5``) and MATLAB 7.3 files, which are HDF5 with reversed axes.

A dataset is read slice by slice. Rate, unit and starts come from attributes or datasets of that name, at the dataset
itself, in its group or in a parent group. Links and external data are not followed, so that a foreign recording cannot
expose other files of this machine.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.recording.readers.contents import (
    FACT_NAMES,
    SINGLE_NUMBER,
    Contents,
    Frames,
    Layout,
    Stored,
    refuse_bomb,
    why_unusable,
)
from monitor.recording.readers.mat import NUMERIC

MAX_OBJECTS = 10_000
"""Most groups and datasets in a file. Higher: a hostile file takes longer to open. Lower: large exports are
rejected."""

MAX_DEPTH = 32
"""Deepest nesting of groups; HDF5 takes minutes for thousands of levels, because the paths grow with the depth."""

MAX_CHUNK_BYTES = 2**27
"""Largest chunk, which HDF5 unpacks at once, and the size of its cache. The default chunks of h5py are below 1 MiB."""

MAX_FACT_BYTES = 2**26
"""Largest metadata value (the starts of 8 million records)."""


HEAP = re.compile(rb"GCOL\x01\0\0\0")
"""Signature of a heap of strings."""

OBJECT_HEADER_BYTES = 16


def read_h5(path: Path) -> Contents:
    """Read the headers of an HDF5 file; keys are the paths of datasets without the leading slash."""
    return _read(path, matlab=False)


def read_mat73(path: Path) -> Contents:
    """Read the headers of a MATLAB 7.3 file."""
    return _read(path, matlab=True)


def _read(path: Path, *, matlab: bool) -> Contents:
    import h5py

    datasets: dict[str, Any] = {}
    objects: list[Any] = []

    def visit(name: str, item: Any) -> None:
        objects.append(item)
        if len(objects) > MAX_OBJECTS:
            raise RecordingError(f"{path.name}: holds more than {MAX_OBJECTS:,} objects; export the samples alone")
        if name.count("/") > MAX_DEPTH:
            raise RecordingError(f"{path.name}: holds over {MAX_DEPTH} groups in one another; export the samples alone")
        if isinstance(item, h5py.Dataset) and not (matlab and name.startswith("#")):
            datasets[name] = item

    arrays: dict[str, Stored] = {}
    unusable: dict[str, str] = {}
    numbers: dict[str, Stored] = {}
    with h5py.File(path, "r") as file:
        file.visititems(visit)
        _require_sound_texts(path, [file, *objects])
        for key, dataset in datasets.items():
            if key.rpartition("/")[2] in FACT_NAMES:
                continue
            reason = _why_unusable(dataset, matlab=matlab)
            if reason:
                unusable[key] = reason
                if reason == SINGLE_NUMBER:
                    numbers[key] = Stored(key, dataset.shape, _reader(path, key, matlab=matlab))
                continue
            refuse_bomb(
                f"{path.name}#{key}", dataset.id.get_storage_size(), prod(dataset.shape) * dataset.dtype.itemsize
            )
            shape = dataset.shape[::-1] if matlab else dataset.shape
            arrays[key] = Stored(key, shape, _reader(path, key, matlab=matlab), _facts(file, key, datasets))
    return Contents(arrays, {}, unusable, numbers=numbers)


def _why_unusable(dataset: Any, *, matlab: bool) -> str | None:
    """The reason why a dataset cannot be a recording; None if it can."""
    kind = _text(dataset.attrs.get("MATLAB_class", b"")) if matlab else ""
    if kind and kind not in NUMERIC:
        return f"is a MATLAB {kind}, not a numeric matrix"
    if dataset.shape is None or "MATLAB_empty" in dataset.attrs:
        return "is empty"
    if dataset.external or dataset.is_virtual:
        return "lies in another file, which is not read; write the samples into this one"
    if _chunk_bytes(dataset) > MAX_CHUNK_BYTES:
        return f"is kept in chunks of more than {MAX_CHUNK_BYTES:,} bytes; write it in smaller chunks"
    reason = why_unusable(dataset.shape, dataset.dtype)
    if reason is None and not dataset.id.get_storage_size():
        return "was announced but never written"
    return reason


def _chunk_bytes(dataset: Any) -> int:
    """Bytes that HDF5 unpacks at once; a chunk may be larger than its dataset."""
    return prod(dataset.chunks) * int(dataset.dtype.itemsize) if dataset.chunks else 0


def _reader(path: Path, key: str, *, matlab: bool) -> Frames:
    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        import h5py

        with h5py.File(path, "r", rdcc_nbytes=MAX_CHUNK_BYTES) as file:
            dataset = file[key]
            shape = dataset.shape[::-1] if matlab else dataset.shape
            total = layout.samples or 0
            for record in range(layout.records):
                for start in range(0, total, max_samples):
                    at = _index(shape, layout, record, slice(start, min(start + max_samples, total)), channel)
                    samples: Numbers = np.atleast_1d(dataset[at[::-1] if matlab else at])
                    yield samples

    return frames


def _index(shape: tuple[int, ...], layout: Layout, record: int, span: slice, channel: int) -> tuple[int | slice, ...]:
    """The index of some samples of one channel of one record in an array of this shape."""
    if len(shape) < 2:
        return (span,) if shape else ()
    if len(shape) == 3:
        return (record, span, channel)
    if shape[0] == layout.records and shape[1] == layout.samples:
        return (record, span)
    return (span, channel)


def _facts(file: Any, key: str, datasets: dict[str, Any]) -> dict[str, Any]:
    """The metadata that applies to a dataset; the nearest group takes precedence."""
    facts: dict[str, Any] = {}
    parts = key.split("/")
    for depth in range(len(parts)):
        group = "/".join(parts[:depth])
        inside = {name: datasets.get(f"{group}/{name}".lstrip("/")) for name in FACT_NAMES}
        facts |= {name: _value(dataset) for name, dataset in inside.items() if dataset is not None}
        facts |= _attributes(file[group or "/"])
    return facts | _attributes(datasets[key])


def _require_sound_texts(path: Path, items: list[Any]) -> None:
    """Reject a file whose variable-length strings would send HDF5 into an endless loop.

    Heaps store strings as objects with a size, one after another; HDF5 never gets past an unused object of size zero.
    Source of the layout: The HDF Group, "HDF5 File Format Specification 3.0", III.E.

    Raises:
        RecordingError: the file has such an object.
    """
    names = (*FACT_NAMES, "MATLAB_class")
    types = [item.attrs.get_id(name).dtype for item in items for name in names if name in item.attrs]
    types += [item.dtype for item in items if hasattr(item, "dtype")]
    if not any(dtype.hasobject for dtype in types):
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        for found in HEAP.finditer(whole):
            at = found.end() + 8
            end = min(found.start() + struct.unpack_from("<Q", whole[found.end() : at].ljust(8, b"\0"))[0], len(whole))
            while at + OBJECT_HEADER_BYTES <= end:
                index, size = struct.unpack_from("<H6xQ", whole, at)
                step = OBJECT_HEADER_BYTES + size + -size % 8 if index else size
                if not step:
                    raise RecordingError(f"{path.name}: its strings are damaged; copy or export it again")
                at += step


def _attributes(item: Any) -> dict[str, Any]:
    return {name: item.attrs[name] for name in FACT_NAMES if name in item.attrs}


def _value(dataset: Any) -> Any:
    """The value of a metadata dataset; MATLAB stores text as character codes."""
    elsewhere = dataset.external or dataset.is_virtual or dataset.shape is None
    if elsewhere or max(dataset.nbytes, _chunk_bytes(dataset)) > MAX_FACT_BYTES:
        raise RecordingError(f"{dataset.name}: is too large or external, and not read as metadata; rename it")
    value = dataset[()]
    if _text(dataset.attrs.get("MATLAB_class", b"")) == "char":
        return "".join(chr(code) for code in np.ravel(value))
    return value


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
