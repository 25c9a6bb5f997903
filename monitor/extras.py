"""Optional libraries: which extra brings one, and the line that installs it as the product itself was installed.

The product may come from a wheel file, a checkout, a URL or an index, into any environment. pip records which in
``direct_url.json`` (PEP 610), so the line that is shown works as it is.
"""

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from monitor.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAME = "vibration-monitor"

EXTRAS = {
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "onnx": "tensorflow",
    "jax": "jax",
    "h5py": "recordings",
    "pyarrow": "recordings",
    "soundfile": "recordings",
    "matplotlib": "plot",
    "amqtt": "demo",
    "confluent_kafka": "kafka",
}
"""Optional libraries, each with the smallest extra that brings it."""


def installed(library: str) -> bool:
    """Whether a library can be imported; does not import it."""
    return importlib.util.find_spec(library) is not None


def require(library: str, purpose: str) -> None:
    """Require an optional library before any work that needs it.

    Args:
        library: one of ``EXTRAS``.
        purpose: what needs it, for the message.

    Raises:
        ConfigurationError: it is not installed; says how to install it.
    """
    if not installed(library):
        raise ConfigurationError(missing(library, purpose))


def missing(library: str, purpose: str, extra: str = "") -> str:
    """One sentence: ``purpose`` needs a library that is not installed, and how to install it.

    Args:
        library: one of ``EXTRAS``.
        purpose: what needs it.
        extra: another extra that brings it, such as ``cuda``.
    """
    line = install_line(extra or EXTRAS[library])
    return f"{purpose} needs the library {library}, which is not installed: {line}"


def install_line(extra: str) -> str:
    """The command that adds an extra to the running environment, from where the product came from."""
    # Imported here: it is a third of what every command, and every completed word, would load.
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(NAME)
    except PackageNotFoundError:
        return f"pip install '{NAME}[{extra}]'"
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    if (found.read_text("INSTALLER") or "").strip() == "uv":  # its environments have no pip
        pip = f"uv pip install --python {shlex.quote(sys.executable)}"
    return f"{pip} {_requirement(found, extra)}"


def _requirement(found: "Distribution", extra: str) -> str:
    """What pip is to install, quoted for a shell."""
    text = found.read_text("direct_url.json")
    if not text:
        return shlex.quote(f"{NAME}[{extra}]")
    origin = json.loads(text)
    url = urlsplit(origin["url"])
    if url.scheme != "file":
        vcs = origin.get("vcs_info", {}).get("vcs")
        return shlex.quote(f"{NAME}[{extra}] @ {f'{vcs}+' if vcs else ''}{origin['url']}")
    path = Path(unquote(url.path))
    if path.exists():
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"{editable}{shlex.quote(f'{path}[{extra}]')}"
    # The wheel is gone: the libraries themselves can still be installed.
    marked = (line.partition(";") for line in found.requires or [])
    return " ".join(
        shlex.quote(requirement.strip())
        for requirement, _, marker in marked
        if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker)
    )
