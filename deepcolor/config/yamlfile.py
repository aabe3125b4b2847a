"""YAML as deepcolor reads and writes it: plain data only, numbers as in YAML 1.2, no key twice, no bombs.

PyYAML follows YAML 1.1, where `1e-3` is text, `yes` is true, `010` is eight and `1:30` is ninety. A learning rate that
silently becomes text is the wrong surprise, so scalars are resolved here by the core schema of YAML 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from deepcolor.errors import ConfigError
from deepcolor.fields.refusal import nearest
from deepcolor.plainfile import open_plain

MAX_BYTES = 1 << 20
"""Largest file that is read; a sweep has a few kilobytes."""
_MAX_DEPTH = 32
_MAX_NODES = 100_000


def read_mapping(path: Path, *, kind: str, see: str = "docs/sweep-files.md") -> dict[str, Any]:
    """Read a YAML file whose outermost level is a mapping.

    Args:
        path: The file.
        kind: What it should be, for messages: "sweep", "pipeline".
        see: The page that explains it.
    Raises:
        ConfigError: The file is missing, unreadable, too large, no valid YAML, or no mapping.
    """
    tree = parse(_text_of(path, kind=kind), where=str(path))
    if not isinstance(tree, dict):
        got = "an empty file" if tree is None else f"a {'list' if isinstance(tree, list) else 'single value'}"
        raise ConfigError(f"{kind} file: must be a mapping of keys and values; got {got} ({path}). See {see}.")
    return tree


def parse(text: str, *, where: str, is_file: bool = True) -> Any:
    """Parse one YAML document into dicts (with text keys), lists and plain values.

    Args:
        text: The document.
        where: Where it is written, for messages.
        is_file: Whether it has lines that a message can name; an override has one value.
    Raises:
        ConfigError: It is no valid YAML, holds a key twice, asks for an object, or is nested or aliased beyond reason.
    """
    try:
        node = _Loader(text).get_single_node()
        return None if node is None else _Builder().value(node)
    except yaml.MarkedYAMLError as error:
        problem = " ".join(str(error.problem or error.context or "something unexpected").split())
        advice = _advice(problem, is_file=is_file)
        place = f"{where}{_position(error.problem_mark or error.context_mark) if is_file else ''}"
        raise ConfigError(f"YAML: must be readable; got an error: {problem} ({place}). {advice}") from None
    except ReaderError as error:
        place = f"{where}, character {error.position}"
        raise ConfigError(f"YAML: must be readable; got an error: {error.reason} ({place}). Remove it.") from None
    except RecursionError:
        raise ConfigError(f"YAML: must not be nested so deeply ({where}). Write it flatter.") from None


def dump(tree: Any) -> str:
    """Write plain data as YAML that `parse`, and any reader of YAML 1.1, reads back equal; flat lists on one line."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


def _text_of(path: Path, *, kind: str) -> str:
    try:
        with open_plain(path) as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{kind} file: must exist; got {path}. {_instead(path)}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{kind} file: must be a readable file; got {path} ({reason}). Name a YAML file.") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{kind} file: may have {MAX_BYTES} bytes at most; got more ({path}). Name a {kind} file.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte {raw[error.start]:#04x} at position {error.start}"
        raise ConfigError(f"{kind} file: must be UTF-8 text; got {got} ({path}). Name a YAML file.") from None


def _instead(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder {folder} either; check the path."
    there = {file.name: file for file in sorted(folder.rglob("*.y*ml")) if file.is_file()}
    near = nearest(path.name, there)
    if near:
        return f"Did you mean {there[near]}?"
    return f"The folder holds: {', '.join(list(there)[:10])}." if there else f"The folder {folder} holds no YAML files."


def _advice(problem: str, *, is_file: bool) -> str:
    """What to do about what the parser found, without presuming knowledge of parsers."""
    known = next((advice for said, advice in _ADVICE.items() if said in problem), "")
    return known or ("Correct that line." if is_file else "Correct that value.")


_ADVICE = {
    "character '\\t'": "That is a tab: indent with spaces.",
    "mapping values are not allowed here": "Correct the indentation, or put a text that holds ': ' in quotes.",
    "'<stream end>'": "Close its brackets and quotes.",
    "unexpected end of stream": "Close its brackets and quotes.",
    "expected ',' or": "Close its brackets, and put commas between entries.",
    "but found '<block mapping start>'": "Indent it like the lines above.",
    "could not find expected ':'": "Write it as KEY: VALUE.",
}


def _position(mark: Mark | None) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""


class _Resolver(BaseResolver):
    """The core schema of YAML 1.2."""


_NUMBER_STARTS = list("-+.0123456789")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
_INT = re.compile(r"[-+]?[0-9]+$|0o[0-7]+$|0x[0-9a-fA-F]+$")
for _tag, _pattern, _starts in (
    ("bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("int", _INT, _NUMBER_STARTS),
    ("float", _FLOAT, _NUMBER_STARTS),
):
    _Resolver.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, _starts)


class _Loader(Reader, Scanner, Parser, Composer, _Resolver):
    """Text to nodes; `_Builder` turns them into values, so that no tag can construct an object."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)


class _Builder:
    """Turns nodes into values, and refuses more of them, aliases written out, than any sweep needs."""

    def __init__(self) -> None:
        self._left = _MAX_NODES

    def value(self, node: Node, depth: int = 0) -> Any:
        self._left -= 1
        # An alias that holds itself is nested without end, so the depth stops it.
        if self._left < 0 or depth > _MAX_DEPTH:
            raise _refused(f"more than {_MAX_NODES} values or {_MAX_DEPTH} levels, aliases included", node)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, ScalarNode) and kind in _SCALARS:
            try:
                return _SCALARS[kind](node.value)
            except ValueError:
                raise _refused(f"{node.value[:20]!r} cannot be read as {kind}", node) from None
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self.value(item, depth + 1) for item in node.value]
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node, depth)
        raise _refused(f"the tag {node.tag} is not plain data", node)

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise _refused("a key must be a plain word", key)
            if key.value in built:
                raise _refused(f"the key {key.value!r} stands twice", key)
            built[str(key.value)] = self.value(value, depth + 1)
        return built


def _whole(text: str) -> int:
    # Base 0 reads 0o and 0x, but refuses the leading zeros that the core schema allows.
    return int(text, 0 if text[:2] in ("0o", "0x") else 10)


def _fraction(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _whole,
    "float": _fraction,
    "str": str,
}


def _refused(problem: str, node: Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would read as something else than text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _NUMBER_STARTS)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _INT, _NUMBER_STARTS)


def _represent_list(dumper: yaml.SafeDumper, data: list[Any]) -> Node:
    short = all(not isinstance(item, list | dict) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=short)


def _represent_text(dumper: yaml.SafeDumper, data: str) -> Node:
    # Exotic line breaks are folded away in every style but the double-quoted one.
    exotic = any(not character.isprintable() and character != "\n" for character in data)
    style = '"' if exotic else "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


def _represent_fraction(dumper: yaml.SafeDumper, data: float) -> Node:
    mantissa, mark, exponent = repr(data).partition("e")
    # YAML 1.1 takes 1e-05 for text: it wants the point, and a sign before the exponent.
    if mark:
        sign, digits = (exponent[0], exponent[1:]) if exponent[0] in "+-" else ("+", exponent)
        mantissa += "" if "." in mantissa else ".0"
        exponent = f"e{sign}{digits.lstrip('0')}"
    return dumper.represent_scalar("tag:yaml.org,2002:float", mantissa + exponent)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(float, _represent_fraction)
