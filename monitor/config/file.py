"""Reads a configuration file: from YAML to a checked :class:`Config`, or to a list of all problems.

A problem is one line with the path of the key, what was found and, for an unknown key, the most similar known one.
Duplicate keys are rejected, because YAML would silently use the last.
"""

import difflib
import hashlib
import os
import socket
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.configuration import Config
from monitor.errors import ConfigurationError
from monitor.shipped import model_directory

MAX_BYTES = 2**20
"""Largest configuration file; a thousand sensors take a tenth of it. Higher: a wrong file takes longer to be
rejected."""

MAX_DEPTH = 32
"""Deepest nesting; a configuration has seven levels. Higher: Python's recursion limit is reached first."""

MAX_NODES = 50_000
"""Most keys and values, with those of an alias counted each time; a thousand sensors have 10,000. Higher: a wrong file,
or nested aliases, take minutes to be rejected."""

MAX_PROBLEMS = 50
"""Most problems that are listed; a file with more is probably not a configuration."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also rejects duplicate keys, tags, deep nesting and too many nodes.

    A few lines of nested aliases can expand to any number of nodes, so an alias counts as many nodes as its anchor.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Read one node with its children."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        problem, before = "", self._nodes
        self._depth += 1
        if getattr(event, "tag", None) is not None:
            problem = "tags are not supported; leave it out"
        elif self._depth > MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels; this is not a configuration"
        node = None if problem else super().compose_node(parent, index)
        if node is not None:
            if not isinstance(event, yaml.AliasEvent):
                self._nodes += 1
                self._sizes[node] = self._nodes - before
            elif node in self._sizes:
                self._nodes += self._sizes[node]
            else:
                problem = "an alias inside its own anchor"
        if self._nodes > MAX_NODES:
            problem = f"more than {MAX_NODES} keys and values; this is not a configuration"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        self._depth -= 1
        return node


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            problem = "the merge key '<<' is not supported; write the keys out"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool)):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' occurs twice", key_node.start_mark)
        seen.add(key)
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigurationError: the file is invalid; the message lists all problems, one a line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigurationError(f"{path}: more than {MAX_BYTES} bytes; this is not a configuration")
        text = data.decode()
    except OSError as error:
        raise ConfigurationError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text at byte {error.start}") from error
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> Config:
    """Check the text of a configuration; ``path`` appears in errors, and relative paths start at its folder."""
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigurationError(f"{path}{where}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}") from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        found = "a list" if isinstance(document, list) else "a bare value"
        raise ConfigurationError(f"{path}: expected sections such as 'mqtt:' and 'sensors:', found {found}")
    try:
        return Config.model_validate(document, context={"folder": path.parent})
    except ValidationError as error:
        lines = [line for details in error.errors() for line in _lines(details)]
        count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
        if len(lines) > MAX_PROBLEMS:
            lines[MAX_PROBLEMS:] = [f"and {len(lines) - MAX_PROBLEMS} more"]
        raise ConfigurationError("\n".join([f"{path}: {count}", *(f"  {line}" for line in lines)])) from error


def with_own_place(config: Config, config_file: Path) -> Config:
    """The configuration with what follows from where the daemon runs, if it does not say it.

    That is systemd's state directory, and an identifier at the broker that no other daemon has.
    """
    folder = config.state_dir or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if folder:
        config = config.model_copy(update={"state_dir": config_file.parent / folder})
    if config.broker.client_id is None:
        place = str((config.state_dir or config_file).absolute())
        name = f"{socket.gethostname()}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        broker = config.broker.model_copy(update={"client_id": f"vibration-monitor-{name}"})
        config = config.model_copy(update={broker.section: broker})
    return config


def resolve(path: str, config_file: Path | None) -> Path:
    """Resolve a path in a configuration: relative to its file, without a file to the working directory."""
    return (config_file.parent if config_file else Path()) / path


def resolve_model(model: str, config_file: Path | None) -> Path:
    """The directory of a model in a configuration; see :func:`monitor.shipped.model_directory`."""
    return model_directory(model, config_file.parent if config_file else None)


def _lines(details: ErrorDetails) -> list[str]:
    where = _key_path(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        known = _known_keys(details["loc"][:-1])
        near = difflib.get_close_matches(str(details["loc"][-1]), known, 1, 0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
        return [f"{where}: unknown key; {hint}"]
    if kind == "missing":
        return [f"{where}: missing"]
    if kind == "value_error":
        text = str(details["ctx"]["error"])
        return [f"{where}: {line}" if where else line for line in text.splitlines()]
    if kind == "model_type":
        message = f"expected keys under it, such as {', '.join(_known_keys(details['loc'])[:3])}"
    else:
        message = SHAPES.get(kind) or f"{details['msg'][0].lower()}{details['msg'][1:]}"
    return [f"{where}: {message} (found {_spoken(details['input'])})"]


SHAPES = {
    "dict_type": "expected names under it, each with a value",
    "tuple_type": "expected a list: [ONE, ANOTHER], or lines that begin with '- '",
    "path_type": "expected a path",
}
"""What to write where pydantic names a type of Python."""


def _spoken(value: Any) -> str:
    """What was found in the place of something else."""
    if value is None:
        return "nothing"
    return "keys" if isinstance(value, dict) else "a list" if isinstance(value, list) else f"{value!r:.60}"


def _key_path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part:.100}" if text else f"{part:.100}"
    return text


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the section at ``location``."""
    section: type[BaseModel] = Config
    parts = iter(location)
    for part in parts:
        if isinstance(part, int):
            continue
        annotation = section.model_fields[part].annotation
        if get_origin(annotation) is dict:
            next(parts)  # the key, which names one of several sections
        candidates = [annotation, *get_args(annotation)]
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(section.model_fields)
