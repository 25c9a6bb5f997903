"""Whether a model can be trained beside the daemon: the library is there, and so is the memory.

systemd stops a service of which a process is killed for want of memory, so a training that does not fit must not begin.
"""

from pathlib import Path

from monitor.extras import installed, missing

TRAINING_BYTES = 1000 * 2**20
"""Memory of a training with the shipped reference and little data; 870 MB were measured. Lower: a service is stopped in
the middle of it. Higher: a machine that could train does not."""

A_SAMPLE_BYTE = 3
"""Memory of a training for each byte of samples; with 120 MB of 1,000 channels, 1,140 MB were measured in all."""

CGROUP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def unable(samples_bytes: int) -> str:
    """Why a model cannot be trained on so many samples here; empty: it can."""
    if not installed("tensorflow"):
        return missing("tensorflow", "learning.model: own")
    needed, room = TRAINING_BYTES + A_SAMPLE_BYTE * samples_bytes, room_bytes()
    if room is not None and room < needed:
        return (
            f"training takes up to {needed / 2**20:.0f} MiB, the limits of this service leave "
            f"{max(room, 0) / 2**20:.0f} MiB: raise MemoryHigh and MemoryMax "
            "(systemd/vibration-monitor.service.d/own-model.conf)"
        )
    return ""


def room_bytes(cgroup: Path = CGROUP, groups: Path = GROUPS) -> int | None:
    """What the limits of the control groups leave, cgroups(7); None: there is no limit."""
    try:
        line = next(line for line in cgroup.read_text(encoding="utf-8").splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    folder = groups / line[3:].lstrip("/")
    rooms = []
    for group in (folder, *folder.parents):
        if group == groups.parent:
            break
        try:
            used = int((group / "memory.current").read_text(encoding="ascii"))
            limits = [(group / name).read_text(encoding="ascii").strip() for name in ("memory.high", "memory.max")]
            rooms += [int(limit) - used for limit in limits if limit != "max"]
        except (OSError, ValueError):
            continue
    return min(rooms, default=None)
