"""Runs a command under the system call rules of a unit file, as systemd would set them, without systemd.

``python -m tests.support.hardened UNIT [DROP-IN...] -- COMMAND ARGUMENT...`` reads ``SystemCallFilter``,
``SystemCallErrorNumber`` and ``MemoryDenyWriteExecute``, loads them as seccomp filters (through libseccomp, which comes
with systemd) and becomes the command. Knows the constants of seccomp.h and nothing of the command.
"""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM
MASKED_EQUAL = 7
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000

WRITABLE_AND_EXECUTABLE = (
    ("mmap", 2, PROT_WRITE | PROT_EXEC),
    ("mprotect", 2, PROT_EXEC),
    ("pkey_mprotect", 2, PROT_EXEC),
    ("shmat", 2, SHM_EXEC),
)
"""System call, argument and bits that ``MemoryDenyWriteExecute`` refuses (systemd.exec(5))."""


class Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def settings(files: list[Path]) -> dict[str, list[str]]:
    """The values of each key of a unit and its drop-ins, in order."""
    found: dict[str, list[str]] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            key, separator, value = line.partition("=")
            if separator and not line.startswith(("#", ";")):
                found.setdefault(key.strip(), []).append(value.strip())
    return found


def expand(name: str) -> set[str]:
    """The system calls of a set such as ``@system-service``, or the one of that name."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
    words = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return set().union(*(expand(word) for word in words if word and not word.startswith("#")))


def allowed(filters: list[str]) -> set[str]:
    """The system calls that a list of ``SystemCallFilter`` values leaves; the first has to be an allow list."""
    calls = expand("@default")
    for line in filters:
        names = set().union(*(expand(name) for name in line.removeprefix("~").split()))
        calls = calls - names if line.startswith("~") else calls | names
    return calls


def load(library: ctypes.CDLL, default: int, action: int, rules: list[tuple[str, list[Comparison]]]) -> None:
    """Load one filter; calls that this architecture does not have are left out."""
    context = library.seccomp_init(default)
    for name, comparisons in rules:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue
        array = (Comparison * len(comparisons))(*comparisons)
        if library.seccomp_rule_add_array(context, action, number, len(comparisons), array):
            raise OSError(f"no rule for {name}")
    if library.seccomp_load(context):
        raise OSError("the kernel did not take the filter")


def harden(unit: dict[str, list[str]]) -> None:
    """Set the rules of ``unit`` for this process and everything it becomes."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    ]  # fmt: skip
    calls = allowed(unit.get("SystemCallFilter", []))
    if unit.get("MemoryDenyWriteExecute", ["no"])[-1] == "yes":
        load(
            library,
            ALLOW,
            REFUSE,
            [(name, [Comparison(arg, MASKED_EQUAL, bits, bits)]) for name, arg, bits in WRITABLE_AND_EXECUTABLE],
        )
    load(library, REFUSE, ALLOW, [(name, []) for name in sorted(calls)])


def main() -> None:
    """Harden, then become the command."""
    separator = sys.argv.index("--")
    harden(settings([Path(name) for name in sys.argv[1:separator]]))
    command = sys.argv[separator + 1 :]
    os.execvp(command[0], command)  # noqa: S606 - becoming the command is the purpose


if __name__ == "__main__":
    main()
