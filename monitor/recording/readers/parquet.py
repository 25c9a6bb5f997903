"""Parquet tables: one row per sampling instant, one numeric column per channel, read in batches of rows.

Rate and unit come from ``sampling_rate_hz`` and ``unit`` in the metadata of the table. Columns of times or row numbers
are not channels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.recording.readers.contents import (
    CLOCKS,
    FACT_NAMES,
    MAX_WHOLE_BYTES,
    Contents,
    Layout,
    Stored,
    refuse_bomb,
    why_empty,
)


def read_parquet(path: Path) -> Contents:
    """Read the headers of a ``.parquet`` file; its numeric columns are one array (samples, columns)."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        samples: int = file.metadata.num_rows
        schema = file.schema_arrow
        numeric = [
            field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        ]
        names = [name for name in numeric if name.lower() not in CLOCKS] or numeric
        widest = max((field.type.bit_width for field in schema if field.name in names), default=0)
        refuse_bomb(path.name, path.stat().st_size, samples * widest // 8)
        for group in range(file.metadata.num_row_groups):
            _refuse_large_group(path, file.metadata.row_group(group))
        facts: dict[str, Any] = {
            key.decode(): value.decode()
            for key, value in (schema.metadata or {}).items()
            if key.decode("utf-8", "replace") in FACT_NAMES
        }

    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        del layout
        with ParquetFile(path) as file:
            for batch in file.iter_batches(max_samples, columns=[names[channel]], use_threads=False):
                column: Numbers = batch.column(0).to_numpy(zero_copy_only=False)
                yield column

    reason = why_empty(samples) if names else f"has no numeric column, only {', '.join(schema.names)}"
    stored = Stored("", (samples, len(names)), frames, {"channels": names})
    return Contents({} if reason else {"": stored}, facts, {"": reason} if reason else {}, key_is_channel=True)


def _refuse_large_group(path: Path, group: Any) -> None:
    """Reject a large row group, because Parquet unpacks a whole column of it at once.

    The sizes of single columns are not read: with damaged statistics that crashes the process.
    """
    if group.total_byte_size > MAX_WHOLE_BYTES:
        raise RecordingError(
            f"{path.name}: a row group takes {group.total_byte_size:,} bytes; write row groups of at most "
            f"{MAX_WHOLE_BYTES:,} bytes"
        )
