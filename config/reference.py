# ruff: noqa: INP001 - a script beside its output, not a package
"""Writes what is made of the source into this folder: ``python config/reference.py``.

``README.md`` is the reference of all configuration keys, ``scores.schema.json`` describes the records of
``kafka.scores_topic``.
"""

from pathlib import Path

from monitor.config.reference import readme
from monitor.runtime.scores.document import schema

if __name__ == "__main__":
    here = Path(__file__).parent
    (here / "README.md").write_text(readme(), encoding="utf-8")
    (here / "scores.schema.json").write_bytes(schema())
