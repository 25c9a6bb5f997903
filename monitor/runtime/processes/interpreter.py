"""The command line of another interpreter that runs this package and nothing from the working directory.

``python -m`` puts the working directory first on the module path, so a ``random.py`` in it would run. Does not handle:
starting the process.
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
"""The package's folder is on the module path only while the package is imported: in a checkout, other modules may stand
beside it."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a new interpreter that runs ``module`` of the package that runs here."""
    folder = Path(monitor.__file__).resolve().parents[1]
    return [sys.executable, "-P", "-c", _START, str(folder), module, *arguments]
