"""What a sweep is written in, layer over layer: its file, a pipeline's entry over it, the command line over both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepcolor.config.yamlfile import parse
from deepcolor.errors import ConfigError
from deepcolor.printable import as_unicode

Key = tuple[str, ...]

_SPACE: Key = ("search", "space")
_LONGEST_CITED = 80


@dataclass(frozen=True)
class Layer:
    """A tree of keys and values, and where it was written."""

    tree: Mapping[str, Any]
    where: str
    """The file, as the user named it."""
    prefix: Key | None = ()
    """Where in the file the tree stands (`sweeps`, `0`); None on the command line, which names its key itself."""
    folder: Path = Path()
    """Where the paths in it begin: that of the file, else the current one."""

    def cite(self, key: Key) -> str:
        """Say where a key of this layer is written."""
        dotted = ".".join((*self.prefix, *key)) if self.prefix is not None else ""
        return f"{self.where}, {dotted}" if dotted else self.where

    def holds(self, key: Key) -> bool:
        """Whether the layer gives this key a value."""
        tree: Any = self.tree
        for part in key:
            if not isinstance(tree, Mapping) or part not in tree:
                return False
            tree = tree[part]
        return True


@dataclass(frozen=True)
class Override:
    """One `-o key=value` of the command line."""

    key: Key
    value: Any
    text: str

    def layer(self) -> Layer:
        """The override as the layer that holds its one key."""
        tree: Any = self.value
        for part in reversed(self.key):
            tree = {part: tree}
        return Layer(tree=tree, where=f"-o {_shortened(self.text)}", prefix=None)

    def below(self, depth: int) -> Override:
        """The same override as seen from `depth` keys further in."""
        return replace(self, key=self.key[depth:])


def parse_override(text: str) -> Override:
    """Read `key=value`: a dotted key, and a value in YAML.

    Raises:
        ConfigError: There is no '=', a part of the key is empty, or the value is no valid YAML.
    """
    text = as_unicode(text)
    dotted, equals, value = text.partition("=")
    key = tuple(part.strip() for part in dotted.split("."))
    if not equals or not all(key) or text.startswith("-"):
        raise ConfigError(f"-o: must be KEY=VALUE; got {text!r}. Write it like -o training.epochs=5.")
    return Override(key=key, value=parse(value, where=f"-o {_shortened(text)}", is_file=False), text=text)


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """Lay trees over each other: mappings are merged, anything else is replaced.

    In a search space a later null takes a dimension out, so that what one file searches another can fix.
    """
    tree: dict[str, Any] = {}
    for layer in layers:
        tree = _over(tree, layer.tree, key=())
    return tree


def holding(layers: Sequence[Layer], key: Key) -> Layer:
    """Return the layer that a value comes from: the last one that holds its key, or the most of its path."""
    for length in range(len(key), 0, -1):
        for layer in reversed(layers):
            if layer.holds(key[:length]):
                return layer
    return layers[0]


def place(layers: Sequence[Layer], key: Key) -> str:
    """Say where the value of `key` comes from."""
    return holding(layers, key).cite(key)


def _over(below: Mapping[str, Any], above: Mapping[str, Any], *, key: Key) -> dict[str, Any]:
    tree = dict(below)
    for name, value in above.items():
        old = tree.get(name)
        if value is None and key == _SPACE and name in tree:
            del tree[name]
        elif isinstance(value, Mapping):
            tree[name] = _over(old if isinstance(old, Mapping) else {}, value, key=(*key, name))
        else:
            tree[name] = value
    return tree


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_CITED else text[: _LONGEST_CITED - 3] + "..."
