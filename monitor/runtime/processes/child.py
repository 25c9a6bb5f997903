"""Starts, joins and ends a process of this package that the daemon exchanges messages with.

The process gets one end of a connection, and uses one thread for arrays, since such processes share the cores. Does not
handle: the messages (``workers``, and the learner's ``process``).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection

from monitor.runtime.processes import interpreter


def start(module: str, *arguments: str, inherited: Sequence[int] = ()) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that runs a module; the module's first argument is the file descriptor of its connection.

    Args:
        module: name of the module.
        arguments: its other arguments.
        inherited: other file descriptors that it gets.

    Returns:
        The process, and our end of the connection.

    Raises:
        OSError: the system refuses another process.
    """
    ours, theirs = socket.socketpair()
    connection = Connection(ours.detach())
    with theirs:
        process = subprocess.Popen(
            interpreter.command(module, str(theirs.fileno()), *arguments),
            pass_fds=(theirs.fileno(), *inherited),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    return process, connection


def join(niceness: int) -> Connection:
    """In the started process: get out of the daemon's way, and take the connection to it.

    A terminal's interrupt and systemd's TERM reach all processes; the daemon ends this one when it is done.
    """
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    with contextlib.suppress(PermissionError):
        os.nice(niceness)
    return Connection(int(sys.argv[1]))


def accompany(process: subprocess.Popen[bytes], threads: Sequence[threading.Thread]) -> None:
    """Start the threads that speak and listen to a process.

    Raises:
        RuntimeError: the system refuses another thread; the process is killed.
    """
    try:
        for thread in threads:
            thread.start()
    except RuntimeError:
        process.kill()
        process.wait()
        raise


def end(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for a process to end, and kill it after ``timeout_s``; returns whether it ended by itself."""
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
