"""Programs of the operating system that tests use: missing ones skip on a user's machine and fail in CI."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]


def program(*names: str) -> str:
    """The path of the first of ``names`` that is installed; the test skips, or fails in CI, without."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = next((where for where in (shutil.which(name, path=path) for name in names) if where), None)
    return found or missing(f"{' or '.join(names)} is not installed")


def missing(reason: str) -> NoReturn:
    """Skip the test for ``reason``, or fail where a green run must not mean a test that did not run."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
