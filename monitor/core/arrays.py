"""The array types, once: the name gives the type of the numbers, the docstring of each user gives the shape."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
"""Samples, forecasts and figures of channels."""

Float64 = npt.NDArray[np.float64]
"""Times, scores and sums, which need more digits."""

Floats = npt.NDArray[np.floating[Any]]
"""Floating-point numbers of either width."""

Int64 = npt.NDArray[np.int64]
"""Sample indices and counts."""

Int8 = npt.NDArray[np.int8]
"""Members of an enum, one a channel."""

Uint8 = npt.NDArray[np.uint8]
"""Bytes."""

Bool = npt.NDArray[np.bool_]
"""Claims, one a channel or block."""

Rows = npt.NDArray[np.intp]
"""Rows of channels: what an array is indexed with."""

AnyArray = npt.NDArray[Any]
"""Numbers whose type is not known before they are read."""

Numbers = npt.NDArray[np.generic]
"""Numbers of any type, which are converted before they are computed with."""

Arrays = dict[str, Numbers]
"""Arrays by name: what is stored, or travels between processes."""

Zeros = Callable[[int | tuple[int, ...], npt.DTypeLike], AnyArray]
"""How arrays are allocated: a shape and a type, as `numpy.zeros`; or in memory that processes share."""
