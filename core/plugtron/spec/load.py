"""Reading a spec file: plain data, and for each value the line it stands on, so that errors can point."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError

from plugtron.errors import Problem, SpecError
from plugtron.utils.json_file import DuplicateKey, once
from plugtron.utils.validation import plain

__all__ = ["Place", "Source", "read"]

#: Keys of the user's own, which plugtron ignores: a place for YAML's anchors.
_OWN_KEYS = "x-"
#: What `<<` is to YAML: the loader unfolds it, and has no value for it.
_MERGE = "tag:yaml.org,2002:merge"
#: The values that a file may hold, aliases unfolded.
_MOST_VALUES = 1_000_000
#: From how many characters on libyaml reads, which is ten times as fast and tells less of a mistake.
_LARGE = 1 << 18

#: A path into the data: ("engine", "options", "max_batch_size") or ("samplers", 0).
Place = tuple[str | int, ...]


@dataclass(slots=True)
class Source:
    """A spec as plain data, with where each value comes from."""

    values: dict[str, Any]
    file: str | None = None
    lines: dict[Place, int] = field(default_factory=dict)
    #: Values that a `--set` put in, by place: errors name the override rather than a line.
    overrides: dict[Place, str] = field(default_factory=dict)
    #: What overrides are called where the user gives them.
    override_name: str = "--set"
    #: Whether its paths are complete; and those that could not be, which nothing else is said about.
    placed: bool = False
    unplaced: set[Place] = field(default_factory=set)

    @property
    def disabled(self) -> list[str]:
        """The plugins that the spec does not want imported; needed before anything else of it is checked."""
        plugins = self.values.get("plugins")
        names = plugins.get("disable") if isinstance(plugins, dict) else None
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def is_overridden(self, place: Place) -> bool:
        """Whether a `--set` put in what stands at `place`."""
        return any(place[:length] in self.overrides for length in range(len(place) + 1))

    def problem(self, place: Place, message: str) -> Problem:
        """A problem at `place`, with the file and line of the nearest value that has one."""
        dotted = ".".join(map(str, place))
        for length in range(len(place), -1, -1):
            if place[:length] in self.overrides:
                return Problem(dotted, message, self.override_name)
            if length == len(place) and any(known[:length] == place for known in self.overrides):
                return Problem(dotted, message, self.override_name)  # of values that do not go together, the newest
            if place[:length] in self.lines:
                return Problem(dotted, message, self.file, self.lines[place[:length]])
        return Problem(dotted, message, self.file)

    def position(self, problem: Problem) -> tuple[bool, int]:
        """A sort key that puts problems in the order of the file, those of overrides last."""
        return (problem.file == self.override_name, problem.line or 0)


def read(path: Path) -> Source:
    """Read a YAML, TOML or JSON spec.

    Raises:
        SpecError: no such file, an unknown ending, or the text is not well formed.
    """
    readers = {".yaml": _yaml, ".yml": _yaml, ".json": _json, ".toml": _toml}
    reader = readers.get(path.suffix)
    if reader is None:
        raise SpecError([Problem("", f"a spec ends in {', '.join(readers)} (got {path.name!r})", str(path))])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError([Problem("", f"cannot read the spec: {reason}", str(path))]) from None
    try:
        values, lines = reader(text, str(path))
    except SpecError:
        raise
    # Dates that are none, numbers of thousands of digits, nesting without end: the parsers raise as they please.
    except RecursionError:
        raise SpecError([Problem("", "it is nested too deeply", str(path))]) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError([Problem("", f"cannot be read: {type(error).__name__}: {error}", str(path))]) from None
    if not isinstance(values, dict):
        raise SpecError([Problem("", "a spec is a mapping that begins with 'version: 1'", str(path), 1)])
    values = {name: value for name, value in values.items() if not str(name).startswith(_OWN_KEYS)}
    return Source(values=values, file=str(path), lines=lines)


def _yaml(text: str, file: str) -> tuple[Any, dict[Place, int]]:
    try:
        loader = _loader(text)(text)
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):  # keys of the user's own, where anchors are kept
            node.value = [entry for entry in node.value if not str(entry[0].value).startswith(_OWN_KEYS)]
        lines = dict(_Lines(file, loader).of(node))
        return (None if node is None else loader.construct_document(node)), lines
    except ComposerError as error:
        mark = error.problem_mark
        several = "it holds several documents, divided by ---; a spec is one"
        message = several if "single document" in str(error) else f"not YAML: {error.problem}"
        raise SpecError([Problem("", message, file, mark.line + 1 if mark else None)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise SpecError([Problem("", f"not YAML: {error.problem}", file, mark.line + 1 if mark else None)]) from None
    except yaml.YAMLError as error:
        raise SpecError([Problem("", f"not YAML: {error}", file)]) from None


def _loader(text: str) -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader) if len(text) > _LARGE else yaml.SafeLoader


def _json(text: str, file: str) -> tuple[Any, dict[Place, int]]:
    try:
        values = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise SpecError([Problem("", f"not JSON: {error.msg}", file, error.lineno)]) from None
    except DuplicateKey as error:
        raise SpecError([Problem(error.key, "stands twice in one mapping", file)]) from None
    try:
        # JSON is YAML as far as places go, once tabs, which YAML forbids between tokens, are out of the way.
        return values, dict(_Lines(file).of(yaml.compose(text.replace("\t", " "), Loader=_loader(text))))
    except yaml.YAMLError:
        return values, {}  # nearly all JSON; where it is not, errors do without their line


def _toml(text: str, file: str) -> tuple[Any, dict[Place, int]]:
    try:
        return tomllib.loads(text), dict(_toml_lines(text))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise SpecError([Problem("", f"not TOML: {error}", file, int(line[1]) if line else None)]) from None


class _Lines:
    """The line of each value, aliases unfolded; refuses what hides a mistake or never ends."""

    def __init__(self, file: str, loader: yaml.SafeLoader | None = None) -> None:
        self._file = file
        self._loader = loader
        self._left = _MOST_VALUES
        self._checked: set[int] = set()

    def of(self, node: yaml.Node | None, place: Place = ()) -> Iterator[tuple[Place, int]]:
        """The places in a node, and their lines.

        Raises:
            SpecError: a key stands twice, or the aliases unfold to too much.
        """
        self._left -= 1
        if self._left < 0:
            raise SpecError([Problem("", f"it unfolds to more than {_MOST_VALUES:,} values", self._file)])
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            for key, value in node.value:
                name = self._value(key)
                yield (*place, name), key.start_mark.line + 1
                yield from self.of(value, (*place, name))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                yield (*place, index), value.start_mark.line + 1
                yield from self.of(value, (*place, index))
        elif isinstance(node, yaml.ScalarNode):
            self._value(node)

    def _value(self, node: yaml.ScalarNode) -> Any:
        """What a single value is; the loader keeps it for when it builds the whole."""
        if self._loader is None or node.tag == _MERGE:
            return node.value
        try:
            return self._loader.construct_object(node)
        # Dates that are none, "!!bool x", numbers of thousands of digits: its constructors raise as they please.
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2]
            reason = f" ({error})" if isinstance(error, ValueError) else ""
            text = f"{plain(node.value)} reads as YAML's {kind}, and is none{reason}: quote a text"
            raise SpecError([Problem("", text, self._file, node.start_mark.line + 1)]) from None

    def _check_keys(self, node: yaml.MappingNode) -> None:
        """YAML lets a later key win without a word; in a spec that hides a mistake."""
        if id(node) in self._checked:
            return
        self._checked.add(id(node))
        seen: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise SpecError([Problem("", "a key is a name, not a list or a mapping", self._file, line)])
            if key.value in seen:
                raise SpecError([Problem(str(key.value), "stands here a second time", self._file, line)])
            seen.add(key.value)


def _toml_lines(text: str) -> Iterator[tuple[Place, int]]:
    """Lines of plain `key = value` and `[table]` entries; tomllib keeps none. Arrays of tables count from 0."""
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([\w.\-\"' ]+?)\s*\]", line):
            table = _toml_key(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, number
        elif entry := re.match(r"\s*([\w.\-\"']+)\s*=", line):
            yield (*table, *_toml_key(entry[1])), number


def _toml_key(text: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in text.split("."))
