"""Every installed package has a licence that this product may be used and passed on with.

The packages state it in their metadata, in one of three ways. What is installed here is the base, the extras and the
tools of the tests, but not the GPU extras, whose NVIDIA libraries have a licence of NVIDIA's own.
"""

import re
from importlib.metadata import PackageMetadata, distributions

import pytest

ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU",
     "PSF-2.0", "Unlicense", "Zlib"}
    | {"MPL-2.0"}  # of single files, which are used unchanged
)  # fmt: skip

IN_WORDS = {
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "bsd license": "BSD",
    "bsd 3-clause": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What packages write that do not use SPDX identifiers."""

NOT_STATED = {"namex": "Apache-2.0"}
"""Packages without any statement, with the licence in their repository."""


def stated(package: PackageMetadata) -> str:
    """The licence as a package states it: an SPDX expression, or else classifiers, or else any text."""
    classifiers = [name for name in package.get_all("Classifier", []) if name.startswith("License ::")]
    for found in (package.get_all("License-Expression", []), classifiers, package.get_all("License", [])):
        if found:
            text = str(found[0]).split(" :: ")[-1].strip().partition("\n")[0]
            return IN_WORDS.get(text.lower(), text)
    return NOT_STATED.get(package["Name"], "")


def allowed(expression: str) -> bool:
    """Whether an SPDX expression allows a choice of allowed licences only; AND binds more than OR."""
    if "(" in expression:
        raise ValueError(f"read this one yourself: {expression}")
    return any(
        all(part.strip() in ALLOWED for part in re.split(r"\s+AND\s+", choice))
        for choice in re.split(r"\s+OR\s+", expression)
    )


def test_every_installed_package_has_an_allowed_licence() -> None:
    found = {package.metadata["Name"]: stated(package.metadata) for package in distributions()}
    assert {"numpy", "onnxruntime", "aiohttp", "vibration-monitor"} <= found.keys()
    refused = {name: licence or "none is stated" for name, licence in sorted(found.items()) if not allowed(licence)}
    assert refused == {}


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("EPL-2.0 OR BSD-3-Clause", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only", False),
        ("LGPL-2.1-or-later OR GPL-2.0-only", False),
        ("", False),
        ("Proprietary", False),
    ],
)
def test_what_is_allowed(expression: str, fine: bool) -> None:
    assert allowed(expression) == fine
