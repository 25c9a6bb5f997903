# ruff: noqa: INP001 - scripts beside their output, not a package
"""What a dashboard consists of: panels and selectors.

A panel whose description says "Empty ..." may have no data. Every other panel has data as soon as a daemon with a
calibrated channel is scraped. Does not handle: their content (``fleet.py``, ``machine.py``, ``service.py``).
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One panel."""

    title: str
    """Heading."""
    unit: str
    """Grafana's name of the unit, or ``suffix:`` and a text."""
    description: str
    """What it shows and how to read it."""
    queries: dict[str, str]
    """Legend to PromQL."""
    kind: str = "timeseries"
    """Grafana's panel type."""
    width: int = 12
    """Width, in 24ths of the page."""
    height: int = 8
    """Height, in Grafana's grid rows."""
    steps: dict[float, str] = field(default_factory=dict)
    """Thresholds: the colour from each value on."""
    limits: tuple[float | None, float | None] = (0, None)
    """Ends of the value axis; None: automatic."""
    mappings: list[dict[str, Any]] = field(default_factory=list)
    """Texts shown instead of values."""
    links: list[dict[str, str]] = field(default_factory=list)
    """Links of a series."""


@dataclass(frozen=True)
class Variable:
    """A selector above the panels for the values of a label."""

    label: str
    """Name of the label and of the variable."""
    series: str
    """The series whose values are offered."""
    every: str | None
    """Pattern for "All"; None: all values that were found."""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard."""

    title: str
    """Heading."""
    description: str
    """The question that it answers."""
    variables: list[Variable]
    """The selectors above the panels."""
    panels: list[Panel]
    """The panels in reading order."""
