"""Array types for annotations. The name gives the element type; docstrings give shapes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
"""Samples, forecasts and figures of channels."""

Float64 = npt.NDArray[np.float64]
"""Times, scores and sums, which need more precision."""

Floats = npt.NDArray[np.floating[Any]]
"""Floating-point numbers of any width."""

Int64 = npt.NDArray[np.int64]
"""Sample indices and counts."""

Int8 = npt.NDArray[np.int8]
"""Codes of an enum, one a channel."""

Uint8 = npt.NDArray[np.uint8]
"""Bytes."""

Bool = npt.NDArray[np.bool_]
"""Flags, one a channel or block."""

Rows = npt.NDArray[np.intp]
"""Channel rows, used as an index."""

AnyArray = npt.NDArray[Any]
"""Arrays whose type is known only when they are read."""

Numbers = npt.NDArray[np.generic]
"""Arrays of any number type, converted before use."""

Arrays = dict[str, Numbers]
"""Named arrays, as stored or sent between processes."""

Zeros = Callable[[int | tuple[int, ...], npt.DTypeLike], AnyArray]
"""Allocates zeros of a shape and type: ``numpy.zeros``, or an allocator in shared memory."""
