"""Starting another interpreter that runs our own code and nothing from the working directory.

``python -m`` puts the working directory before everything else, so that a ``random.py`` lying there would be run. Does
not handle: starting the process.
"""

import sys
from pathlib import Path

import monitor

_START = """
import sys
sys.path.insert(0, sys.argv[1])
import monitor
del sys.path[0]
import runpy
module = sys.argv[2]
del sys.argv[1:3]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""The folder of this package is on the path only while the package is looked up: beside it, in a checkout, may lie
anything."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a new interpreter that runs a module of this package, the very one that runs here."""
    folder = Path(monitor.__file__).resolve().parents[1]
    return [sys.executable, "-P", "-c", _START, str(folder), module, *arguments]
