"""Durations and sizes in the notation of the configuration: ``500ms``, ``2h``, ``64MiB``.

A plain number is in seconds or bytes. Does not handle: negative values, exponents in a text.
"""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?")
"""A duration as text."""
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|KiB|MB|MiB|GB|GiB)?")
"""A size as text."""
_BYTES = {None: 1, "B": 1, "kB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}


def seconds(value: Any) -> Any:
    """Convert a duration such as ``500ms``, ``1s``, ``5m`` or ``2h``, or a number of seconds, to seconds."""
    if isinstance(value, str):
        found = DURATION.fullmatch(value.strip())
        if not found:
            raise ValueError(f"'{value}' is not a duration; write for example 500ms, 1s, 5m or 2h")
        return float(found[1]) * _SECONDS[found[2]]
    return value


def size_bytes(value: Any) -> Any:
    """Convert a size such as ``64MiB``, or a number of bytes, to bytes."""
    if isinstance(value, str):
        found = SIZE.fullmatch(value.strip())
        if not found:
            raise ValueError(f"'{value}' is not a size; write for example 500kB, 64MiB or 1GiB")
        return int(float(found[1]) * _BYTES[found[2]])
    return value


def written_duration(value_s: float) -> str:
    """A number of seconds as it would be written in a configuration, such as ``30d`` or ``5ms``."""
    for unit in ("d", "h", "m", "s"):
        if value_s >= _SECONDS[unit] and not value_s % _SECONDS[unit]:
            return f"{value_s / _SECONDS[unit]:g}{unit}"
    return f"{value_s:g}s" if value_s >= 1 or not value_s else f"{value_s * 1000:g}ms"


def spoken_duration(value_s: float) -> str:
    """A number of seconds for a reader: ``45 s``, ``1.5 minutes``, ``1 hour``, ``7 days``."""
    for unit, length_s in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if value_s >= length_s:
            count = f"{value_s / length_s:.3g}"
            return f"{count} {unit}{'' if count == '1' else 's'}"
    return f"{value_s:.3g} s"


def written_size(value_bytes: int) -> str:
    """A number of bytes as it would be written in a configuration, such as ``64MiB``."""
    for unit, size in sorted(((unit, size) for unit, size in _BYTES.items() if unit), key=lambda each: -each[1]):
        if value_bytes >= size and not value_bytes % size:
            return f"{value_bytes // size}{unit}"
    return f"{value_bytes}B"


Seconds = Annotated[float, BeforeValidator(seconds)]
Bytes = Annotated[int, BeforeValidator(size_bytes)]
