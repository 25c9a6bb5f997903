"""MQTT topic patterns with named levels: ``plant/{machine}/{sensor}/acceleration``.

A named level becomes a label; ``+`` matches one level without a name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
RESERVED_LABELS = frozenset(
    {"reason", "evidence", "condition", "engine", "le", "quantile", "job", "instance", "channel"}
)
"""Label names that the product's metrics or Prometheus already use."""


@dataclass(frozen=True)
class TopicPattern:
    """One parsed pattern; make it with :meth:`parse`."""

    text: str
    """The pattern as written."""
    subscription: str
    """The MQTT topic filter: every named level is ``+``."""
    names: tuple[str, ...]
    """The named levels, in order."""
    levels: tuple[str, ...]
    """The pattern's levels as written."""
    _regex: re.Pattern[str]

    @classmethod
    @lru_cache(maxsize=1024)  # each new channel asks for the names of all
    def parse(cls, text: str) -> "TopicPattern":
        """Parse ``text``; a ValueError states what is wrong with it."""
        if not text or text != text.strip():
            raise ValueError("a topic pattern must not be empty or have spaces around it")
        names: list[str] = []
        filter_levels: list[str] = []
        regex_levels: list[str] = []
        for level in text.split("/"):
            if level == "#" or ("#" in level) or ("+" in level and level != "+"):
                raise ValueError(f"level '{level}': use a whole level '+' or '{{name}}'; '#' is not supported")
            if level.startswith("{") and level.endswith("}"):
                name = level[1:-1]
                if not LABEL.fullmatch(name) or name.startswith("__"):
                    raise ValueError(f"level '{level}': '{name}' is not a label name (letters, digits, underscore)")
                if name in RESERVED_LABELS:
                    raise ValueError(f"level '{level}': the label '{name}' is used by the metrics themselves")
                if name in names:
                    raise ValueError(f"level '{level}' occurs twice")
                names.append(name)
                filter_levels.append("+")
                regex_levels.append("([^/]+)")
            elif "{" in level or "}" in level:
                raise ValueError(f"level '{level}': a named level takes the whole level, as in 'plant/{{machine}}/x'")
            else:
                filter_levels.append(level)
                regex_levels.append("[^/]+" if level == "+" else re.escape(level))
        levels = tuple(text.split("/"))
        return cls(text, "/".join(filter_levels), tuple(names), levels, re.compile("/".join(regex_levels)))

    def shared_topic(self, other: "TopicPattern") -> str | None:
        """A topic that both patterns match, None if there is none."""
        if len(self.levels) != len(other.levels):
            return None
        levels = []
        for one, two in zip(self.levels, other.levels, strict=True):
            fixed = [level for level in (one, two) if level != "+" and not level.startswith("{")]
            if fixed and (fixed[0] != fixed[-1] or (len(fixed) == 1 and not fixed[0])):
                return None  # a level without a name has at least one character
            levels.append(fixed[0] if fixed else max(one, two).strip("{}+") or "x")
        return "/".join(levels)

    def match(self, topic: str) -> dict[str, str] | None:
        """The labels in ``topic``; None if it does not match the pattern."""
        found = self._regex.fullmatch(topic)
        if found is None:
            return None
        return dict(zip(self.names, found.groups(), strict=True))

    def topic_of(self, labels: Mapping[str, str]) -> str:
        """The topic whose named levels have these labels.

        Raises:
            ValueError: a level has no name, or a label cannot be a level.
        """
        levels = []
        for level in self.text.split("/"):
            if level == "+":
                raise ValueError(f"'{self.text}' has a level without a name; write {{name}} instead of '+'")
            value = labels[level[1:-1]] if level.startswith("{") else level
            if not value or set(value) & set("/+#\0"):
                raise ValueError(f"{level[1:-1]} '{value}' cannot be a level of a topic")
            levels.append(value)
        return "/".join(levels)


def covers(wide: str, narrow: str) -> bool:
    """Whether the MQTT topic filter ``wide``, which has no ``#``, takes every topic that ``narrow`` takes."""
    pairs = list(zip(wide.split("/"), narrow.split("/"), strict=False))
    return wide.count("/") == narrow.count("/") and all(one in {"+", other} for one, other in pairs)


def no_channel_has(labels: Mapping[str, str], topic: str, fixed: Mapping[str, str], axes: Sequence[str]) -> str | None:
    """Check that labels name exactly one possible channel of a sensor; the reason if not, None if they do.

    Args:
        labels: labels of the channel.
        topic: the sensor's topic pattern.
        fixed: labels of all its channels.
        axes: names of the axes in one message; empty for messages of one channel.
    """
    pattern = TopicPattern.parse(topic)
    asked = [*pattern.names, *(["axis"] if axes else [])]
    known = dict.fromkeys([*pattern.names, *fixed, "axis"])
    if unknown := [name for name in labels if name not in known]:
        return f"this sensor has no label '{unknown[0]}'; it has {', '.join(known)}"
    if missing := [name for name in asked if name not in labels]:
        return f"the label '{missing[0]}' is missing; name {', '.join(asked)}"
    if other := [name for name in fixed if labels.get(name, fixed[name]) != fixed[name]]:
        return f"the label '{other[0]}' is '{fixed[other[0]]}' for all channels of this sensor"
    if axes and labels["axis"] not in axes:
        return f"there is no axis '{labels['axis']}'; axes has {', '.join(axes)}"
    try:
        pattern.topic_of(labels)
    except ValueError as error:
        return str(error)
    return None
