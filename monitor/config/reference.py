"""The reference of the configuration, made from its classes: every key with default, bounds, example and meaning.

A key is described once, by the docstring under its field. From there come the tables in ``config/README.md`` and the
JSON schema for editors, so neither can fall behind. Does not handle: rules between keys, which ``check-config`` knows.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from monitor.config.configuration import Config
from monitor.config.section import Section
from monitor.quantities import DURATION, SIZE, seconds, size_bytes, written_duration, written_size

HEAD = """\
# Configuration

One YAML file, given to `vibration-monitor run --config FILE`. `example.yaml` beside this file is a start; this page has
every key. An unknown key is an error that names the nearest one. Paths are relative to the
configuration file. Durations are written `500ms`, `1s`, `5m`, `2h`, `7d`, sizes `500kB`, `64MiB`;
plain numbers are seconds and bytes.

```sh
vibration-monitor check-config FILE            # all problems at once, and what can be scored
vibration-monitor check-config --schema > vibration-monitor.schema.json
```

The second command writes a JSON schema, with which an editor completes keys and marks mistakes. In editors with the
YAML language server (VS Code, Neovim and others) this line at the top of the file is enough:

```yaml
# yaml-language-server: $schema=vibration-monitor.schema.json
```

`kill -HUP` (`systemctl reload`) applies a changed file; if it has a mistake, the old configuration stays in use.

This page is made from the source by `python config/reference.py`.
"""


@dataclass(frozen=True)
class Key:
    """One key of the configuration."""

    path: str
    """Its path: ``mqtt.tls.ca_file``, ``sensors[].topic``."""
    name: str
    """The last part of the path."""
    field: FieldInfo
    """Type, default, bounds and examples."""
    meaning: str
    """Its docstring, in one line."""
    section: type[Section] | None
    """The section that it opens; None: it has a value."""


def keys(section: type[BaseModel] = Config, path: str = "") -> Iterator[Key]:
    """All keys, each section followed by its own."""
    meanings = docstrings(section)
    for name, field in section.model_fields.items():
        where = f"{path}.{name}" if path else name
        inner, suffix = _section_in(field.annotation)
        yield Key(where, name, field, " ".join(meanings.get(name, "").split()), inner)
        if inner is not None:
            yield from keys(inner, where + suffix)


def docstrings(section: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field of a class and of those that it inherits from."""
    found: dict[str, str] = {}
    for part in reversed(section.__mro__):
        if not (issubclass(part, BaseModel) and part.__module__.startswith("monitor")):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(tree, ast.ClassDef)  # noqa: S101 - what getsource gives for a class
        for node, text in zip(tree.body, tree.body[1:], strict=False):
            match node, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as words)):
                    found[name] = words
    return found


def schema() -> dict[str, Any]:
    """A JSON schema of the configuration file."""
    found = Config.model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "vibration-monitor"
    sections = {key.section for key in keys() if key.section} | {Config}
    for section in sections:
        properties = (found if section is Config else found["$defs"][section.__name__])["properties"]
        meanings = docstrings(section)
        for name, field in section.model_fields.items():
            entry = properties[name]
            entry.pop("title", None)
            entry["description"] = " ".join(meanings.get(name, "").split()).replace("``", "`")
            if (pattern := _text_form(field)) is not None:
                number = {key: entry.pop(key) for key in list(entry) if key in NUMBER_KEYWORDS}
                entry["anyOf"] = [number, {"type": "string", "pattern": f"^\\s*{pattern}\\s*$"}]
    return found


NUMBER_KEYWORDS = frozenset({"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})


def readme() -> str:
    """The text of ``config/README.md``."""
    lines = [HEAD]
    everything = list(keys())
    for title, text, members in _tables(everything):
        lines += [f"## {title}", ""] + ([text, ""] if text else [])
        lines += ["| key | default | values | example | meaning |", "|---|---|---|---|---|"]
        lines += [
            f"| `{key.name}` | {_default(key)} | {_values(key.field)} | `{example(key)}` | {_markdown(key.meaning)} |"
            for key in members
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def example(key: Key) -> str:
    """The key with a value, as YAML in one line."""
    field = key.field
    given = field.examples
    if given:
        value = given[0]
    elif field.annotation is bool:
        value = not field.default
    elif alternatives := _alternatives(field.annotation):
        value = next((each for each in alternatives if each != field.default), field.default)
    else:
        value = "..." if field.is_required() else _written(field, field.get_default(call_default_factory=True))
    return f"{key.name}: {_yaml(value)}"


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The values of a type that has only these, also where it may be none."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in {Union, UnionType}:
        return next((found for part in get_args(annotation) if (found := _alternatives(part))), ())
    return ()


def _tables(everything: list[Key]) -> Iterator[tuple[str, str, list[Key]]]:
    """One table a section: its title, its text, and the keys that have a value."""
    yield "Top level", "", [key for key in everything if key.path == key.name and key.section is None]
    for opened in everything:
        if opened.section is not None:
            _, suffix = _section_in(opened.field.annotation)
            members = [key for key in everything if key.path == f"{opened.path}{suffix}.{key.name}" and not key.section]
            title = f"`{opened.path}{suffix}`"
            if members:
                yield title, _markdown(opened.meaning), members


def _section_in(annotation: Any) -> tuple[type[Section] | None, str]:
    """The section that values of a type hold, and how its keys continue the path; None if they hold none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, ""
    suffix = {tuple: "[]", list: "[]", dict: ".NAME"}.get(get_origin(annotation), "")
    for part in get_args(annotation):
        inner, more = _section_in(part)
        if inner is not None:
            return inner, suffix + more
    return None, ""


def _text_form(field: FieldInfo) -> str | None:
    """The pattern of the text that a number may be written as; None if it must be a number."""
    validators = [each.func for each in _metadata(field) if isinstance(each, BeforeValidator)]
    return DURATION.pattern if seconds in validators else SIZE.pattern if size_bytes in validators else None


def _metadata(field: FieldInfo) -> list[Any]:
    """All annotations of a field, with those inside a union."""
    inside = [
        more for part in get_args(field.annotation) if get_origin(part) is Annotated for more in part.__metadata__
    ]
    return [*field.metadata, *inside]


def _written(field: FieldInfo, value: Any) -> Any:
    """A number as a duration or a size, where the key takes one; paths as text."""
    validators = [each.func for each in _metadata(field) if isinstance(each, BeforeValidator)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if seconds in validators:
            return written_duration(value)
        if size_bytes in validators:
            return written_size(int(value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value) if isinstance(value, Path) else value


def _default(key: Key) -> str:
    if key.field.is_required():
        return "required"
    value = _written(key.field, key.field.get_default(call_default_factory=True))
    return "none" if value is None or value in ((), {}, []) else f"`{_yaml(value)}`"


def _values(field: FieldInfo) -> str:
    """Type and bounds."""
    bounds = []
    for each in _metadata(field):
        match each:
            case annotated_types.Ge(ge=low):
                bounds.append(f"from {_written(field, low)}")
            case annotated_types.Gt(gt=low):
                bounds.append(f"above {_written(field, low)}")
            case annotated_types.Le(le=high):
                bounds.append(f"to {_written(field, high)}")
            case annotated_types.Lt(lt=high):
                bounds.append(f"below {_written(field, high)}")
            case annotated_types.MaxLen(max_length=most):
                bounds.append(f"at most {most} characters")
    pattern = _text_form(field)
    kind = "duration" if pattern == DURATION.pattern else "size" if pattern else _kind(field.annotation)
    if isinstance(extra := field.json_schema_extra, dict) and isinstance(names := extra.get("enum"), list):
        kind = ", ".join(f"`{name}`" for name in names)
    return " ".join([kind, *bounds])


def _kind(annotation: Any) -> str:
    """A type in a user's words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in {Union, UnionType}:
        return " or ".join(_kind(part) for part in parts if part is not NoneType)
    if origin is Annotated:
        return _kind(parts[0])
    if origin in {tuple, list}:
        return f"list of {_kind(parts[0])}"
    if origin is dict:
        return f"mapping of names to {_kind(parts[1])}"
    words: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`", Path: "path"}
    return words.get(annotation, "section")


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return re.sub(r"\n(\.\.\.\n)?$", "", text)


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
