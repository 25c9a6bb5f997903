# ruff: noqa: INP001 - a script beside its output, not a package
"""Writes ``README.md`` beside it, the reference of all configuration keys: ``python config/reference.py``."""

from pathlib import Path

from monitor.config_reference import readme

if __name__ == "__main__":
    Path(__file__).with_name("README.md").write_text(readme(), encoding="utf-8")
