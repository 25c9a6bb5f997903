"""Arrays that two processes see: what one writes, the other reads.

A memory file without a name holds them; it ends with the last process that has it open. Both sides ask for the same
arrays in the same order and so find them at the same places. There are no locks: what is written becomes visible by a
counter that is written last, which holds only on processors that keep the order of writes, as x86 does.
"""

import math
import mmap
import os
import platform
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from monitor.errors import ConfigurationError

ORDERED = {"x86_64", "amd64", "i386", "i486", "i586", "i686"}
"""Machines whose processors see one another's writes in the order in which they were made (total store order)."""


class SharedMemory:
    """Hands out zeroed arrays one after another; see :data:`monitor.core.rings.Zeros`."""

    def __init__(self, descriptor: int, *, owner: bool) -> None:
        self.descriptor = descriptor
        """Of the memory file, for the other process."""
        self._owner = owner
        self._end = 0

    @classmethod
    def create(cls) -> Self:
        """New memory; pages take room only once they are written.

        Raises:
            ConfigurationError: this machine's processors may reorder writes.
        """
        machine = platform.machine()
        if machine.lower() not in ORDERED:
            raise ConfigurationError(
                f"the processors of this machine ({machine}) may reorder writes to shared memory, so samples could be "
                "read half written; run the daemon on an x86-64 machine"
            )
        return cls(os.memfd_create("vibration-monitor"), owner=True)

    def __call__(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The next array; zero until somebody writes to it."""
        of = np.dtype(dtype)
        count = math.prod(shape) if isinstance(shape, tuple) else shape
        size = max(count * of.itemsize, 1)
        start, self._end = self._end, self._end + -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._owner:
            os.ftruncate(self.descriptor, self._end)
        pages = mmap.mmap(self.descriptor, size, offset=start)
        return np.frombuffer(pages, of, count).reshape(shape)

    def close(self) -> None:
        """Give up the memory file; arrays that were handed out stay."""
        os.close(self.descriptor)
