"""Arrays in memory that two processes share.

An anonymous memory file holds them; the kernel frees it when the last process closes it. Both processes allocate the
same arrays in the same order, so the arrays have the same offsets. There are no locks: a writer publishes its data by
writing a counter last. This is correct only on processors that keep the order of writes, such as x86.
"""

import math
import mmap
import os
import platform
from typing import Self

import numpy as np
import numpy.typing as npt

from monitor.core.arrays import AnyArray
from monitor.errors import ConfigurationError

ORDERED = {"x86_64", "amd64", "i386", "i486", "i586", "i686"}
"""Machines whose processors see each other's writes in program order (total store order)."""


class SharedMemory:
    """Hands out zeroed arrays one after another; see :data:`monitor.core.samples.rings.Zeros`."""

    def __init__(self, descriptor: int, *, owner: bool) -> None:
        self.descriptor = descriptor
        """File descriptor of the memory file, to be passed to the other process."""
        self._owner = owner
        self._end = 0

    @classmethod
    def create(cls) -> Self:
        """New memory; a page uses memory only once it is written.

        Raises:
            ConfigurationError: this machine's processors may reorder writes.
        """
        machine = platform.machine()
        if machine.lower() not in ORDERED:
            raise ConfigurationError(
                f"the processors of this machine ({machine}) may reorder writes to shared memory, which would cause "
                "torn reads of samples; run the daemon on an x86-64 machine"
            )
        return cls(os.memfd_create("vibration-monitor"), owner=True)

    def __call__(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> AnyArray:
        """The next array; all zero until a process writes to it."""
        of = np.dtype(dtype)
        count = math.prod(shape) if isinstance(shape, tuple) else shape
        size = max(count * of.itemsize, 1)
        start, self._end = self._end, self._end + -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._owner:
            os.ftruncate(self.descriptor, self._end)
        pages = mmap.mmap(self.descriptor, size, offset=start)
        return np.frombuffer(pages, of, count).reshape(shape)

    def close(self) -> None:
        """Close the memory file; arrays that were handed out stay valid."""
        os.close(self.descriptor)
