"""CPU time, memory and children of a process, from the kernel's ``/proc`` (proc(5))."""

import os
import resource
from pathlib import Path


def cpu_s(pid: int) -> float:
    """CPU seconds used by a process so far; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, including all shared pages; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def proportional_bytes(pid: int) -> int:
    """Proportional set size of a process: shared pages are divided among their processes. For our own user only.

    Raises:
        OSError: the process has ended.
    """
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024


def children(pid: int) -> list[int]:
    """Identifiers of the running child processes of a process."""
    return [int(child) for tasks in Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()]
