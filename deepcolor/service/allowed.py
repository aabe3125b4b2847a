"""What a submitted file may name: what is installed on the service, and neither code nor files from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deepcolor.config.first import names_table
from deepcolor.config.schema import Pipeline, Sweep
from deepcolor.errors import ConfigError
from deepcolor.fields.contents import WEIGHTS
from deepcolor.plugins import Reference

_FREE_TEXT = {"description"}
_ALLOW = "Install it there as a package with an entry point, or let the service allow it (allow_code: true)."


def sweeps_of(parsed: Sweep | Pipeline) -> tuple[Sweep, ...]:
    """Return the sweeps of a file of either kind."""
    return parsed.sweeps if isinstance(parsed, Pipeline) else (parsed,)


def check_tree(tree: Mapping[str, Any], *, allow_code: bool) -> None:
    """Refuse what reading a submission would import, or read from the service's own disk. Nothing of it is read yet.

    Args:
        tree: The keys and values of its YAML.
        allow_code: Whether it may name code that is not installed as a plugin.
    Raises:
        ConfigError: It names something from outside.
    """
    for key, value in _texts(tree, ()):
        dotted = ".".join(key)
        if key[-1] == "sweeps" or (key[-1] == "file" and "sweeps" in key):
            raise ConfigError(
                f"{dotted}: must not be a file's name in what is sent to a service; got {value}. Send the whole sweep, "
                "as deepcolor submit does."
            )
        if (key[-1] == "first" and names_table(value)) or WEIGHTS.is_file(value):
            raise ConfigError(
                f"{dotted}: must not be a file of the service's own disk; got {value}. Submit the file with: "
                "deepcolor submit FILE"
            )
        if not allow_code and Reference.of(value) is not None and not _names_study(key, value):
            raise ConfigError(f"{dotted}: must name what is installed on the service; got {value}. {_ALLOW}")
    if not allow_code:
        _check_code(tree)


def check_parsed(parsed: Sweep | Pipeline, *, allow_code: bool) -> None:
    """Refuse every value of a submission by which it names code that is not installed as a plugin.

    Raises:
        ConfigError: There is one.
    """
    for sweep in () if allow_code else sweeps_of(parsed):
        for dotted, value, named in sweep.named():
            if value not in named.shipped and Reference.of(value) is not None:
                raise ConfigError(
                    f"{sweep.study}: {dotted} must name what is installed on the service; got {value}. {_ALLOW}"
                )


def code_places(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files with code of a submission's sweeps: the name that each is called by there, and its SHA-256."""
    entries = tree.get("sweeps")
    for sweep in entries if isinstance(entries, list) else [tree]:
        code = sweep.get("code") if isinstance(sweep, Mapping) else None
        for place, digest in code.items() if isinstance(code, Mapping) else ():
            if str(place).endswith(".py") and isinstance(digest, str):
                yield str(place), digest


def _names_study(key: tuple[str, ...], value: str) -> bool:
    """Whether a text names a study where one may be named; elsewhere it would be a module of that name."""
    return value.startswith("study:") and not {"init_from", "first", "warm_start"}.isdisjoint(key)


def _check_code(tree: Mapping[str, Any]) -> None:
    for place, _ in code_places(tree):
        raise ConfigError(f"code: must name what is installed on the service; got {place}. {_ALLOW}")


def _texts(value: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text below a key, but for what is written for people."""
    if isinstance(value, str):
        if key and key[-1] not in _FREE_TEXT:
            yield key, value
    elif isinstance(value, Mapping):
        for name, below in value.items():
            yield from _texts(below, (*key, str(name)))
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _texts(below, (*key, str(index)) if isinstance(below, Mapping) else key)
