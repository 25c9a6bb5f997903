r"""Escapes unprintable characters in text from outside, for one line of a log, of the metrics or of a status.

A name in a message may contain a line feed that forges a log line, an escape character that controls a terminal, a
bidirectional override that reverses text, or a lone surrogate that cannot be encoded. They become ``\n``, ``\x1b``,
``\u202e``, ``\ud800``, as in a Python string.
"""

import re

_ODD = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters (C0, DEL, C1), line and paragraph separators, direction marks, surrogates."""

_LINE = re.compile(f"[{_ODD}]")
_LINES = re.compile(f"(?![\n\t])[{_ODD}]")


def printable(text: str) -> str:
    """The text as one line; unprintable characters are escaped."""
    return _LINE.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """The text with its line feeds and tabs; other unprintable characters are escaped."""
    return _LINES.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
