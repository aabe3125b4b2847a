"""Code that a user brings: named as FILE.py:NAME or package.module:NAME, read once, kept with what it trained.

A file is found from the folder of the sweep that names it. Its content is stored in the workspace under its SHA-256,
and from then on the driver and every worker run that copy; so a study keeps its meaning, whatever happens to the file.
A module of an installed package is imported as it is, and must be the one that the study began with.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from deepcolor.atomic import write_atomically
from deepcolor.errors import CodeError
from deepcolor.plainfile import read_plain

_REFERENCE = re.compile(r"(?P<place>[^:\n]*[^:\n/]\.py|[A-Za-z_]\w*(?:\.\w+)*):(?P<name>[A-Za-z_]\w*)")
_MODULE = re.compile(r"deepcolor_code_(?P<digest>[0-9a-f]{32})")
MOST_BYTES = 2**20
"""Of a file."""
_remembered: dict[str, bytes] = {}
"""Content of files by SHA-256, from when a sweep is read until its study stores it."""
_places: dict[str, str] = {}
"""Where files came from, by SHA-256, as their modules call it."""
_folders: list[Path] = []
"""Where files are kept, the latest one first."""


@dataclass(frozen=True)
class Reference:
    """Where some code of a user's is, and what it is called there."""

    place: str
    """A file ending in `.py`, or a module."""
    name: str

    @classmethod
    def of(cls, text: object) -> Reference | None:
        """Read FILE.py:NAME or package.module:NAME; None for anything else."""
        match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
        return cls(match["place"], match["name"]) if match else None

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py")

    def __str__(self) -> str:
        return f"{self.place}:{self.name}"


@dataclass(frozen=True)
class Code:
    """The code that a sweep names: what it was when the study began, and where its files are kept."""

    digests: Mapping[str, str]
    """SHA-256 by the file or module that the sweep names."""
    folder: Path | None = None
    """Holds the files (`Workspace.code`); None: where `look_in` has been told to look."""

    def load(self, text: str, *, group: str) -> Any:
        """Import what a reference, or the name of an entry point, stands for.

        Args:
            text: Of a sweep.
            group: Of the entry points, such as `deepcolor.losses`.
        Raises:
            CodeError: It is gone, has changed, or cannot be imported.
        """
        reference = _resolved(text, group=group)
        if (digest := self.digests.get(reference.place)) is None:
            rule = f"the content of {reference.place} must be recorded when the sweep is read"
            raise CodeError(rule, got="no SHA-256 of it", advice="Give the sweep as a file, or list it under code.")
        if not reference.is_file:
            _check(reference.place, _source_of_module(reference.place), digest)
            return _imported(reference)
        if self.folder is not None:
            _check_kept(self.folder, digest, reference.place)
        return _run(reference, digest)


_AGAIN = "Start the sweep again."
_FIX = "Fix it, and give the sweep another study name."


def load_here(text: str, *, group: str, folder: Path) -> Any:
    """Import what a reference, or the name of an entry point, stands for, as it is now: nothing is kept.

    Args:
        text: A reference or the name of an entry point.
        group: Of the entry points, such as `deepcolor.executors`.
        folder: What paths of files are relative to.
    Raises:
        CodeError: It is not there, or cannot be imported.
    """
    reference = _resolved(text, group=group)
    if not reference.is_file:
        _source_of_module(reference.place)
        return _imported(reference)
    content = _content_of(reference, folder)
    return _run(reference, _remember(content, (folder / reference.place).absolute()))


def resolved(text: str, *, group: str) -> Reference | None:
    """Return the reference that a text is, or that an entry point of this name has; None if it is neither.

    Args:
        text: Of a sweep.
        group: Of the entry points, such as `deepcolor.losses`.
    """
    return Reference.of(text) or Reference.of(_entry_points(group).get(text))


def offered(group: str) -> tuple[str, ...]:
    """Return the names of the entry points that installed packages have in a group."""
    return tuple(_entry_points(group))


def read(reference: Reference, *, folder: Path) -> str:
    """Read the code that a sweep names, and return its SHA-256. None of it is run.

    Args:
        reference: What the sweep names.
        folder: What paths of files are relative to.
    Raises:
        CodeError: The file or module is not there, is not Python, or does not define the name.
    """
    if not reference.is_file:
        return hashlib.sha256(_source_of_module(reference.place)).hexdigest()
    content = _content_of(reference, folder)
    _check_defined(reference, content)
    return _remember(content, (folder / reference.place).absolute())


def look_in(folder: Path) -> None:
    """Look for files in this folder from now on, where `keep` has put them."""
    if _folders[:1] != [folder]:
        _folders[:] = [folder, *(other for other in _folders if other != folder)]


def is_own(file: str) -> bool:
    """Whether a module of a user's own was made from a file."""
    return any(
        getattr(module, "__file__", None) == file
        for name, module in list(sys.modules.items())
        if _MODULE.fullmatch(name)
    )


def has_run(place: str, digest: str) -> bool:
    """Whether this process has imported a file of this content, or a module of this name."""
    return (f"deepcolor_code_{digest[:32]}" if place.endswith(".py") else place) in sys.modules


def source_of(digest: str) -> bytes:
    """Return the content of a file that a sweep names.

    Raises:
        CodeError: It is kept nowhere.
    """
    try:
        return _found(digest[:32])[0]
    except _AbsentError as error:
        raise CodeError(f"the file of SHA-256 {digest[:12]}... must be kept", got=str(error), advice=_AGAIN) from error


def folders() -> Sequence[Path]:
    """Return where files are looked for, the latest folder first."""
    return tuple(_folders)


def keep(code: Code) -> None:
    """Write the files that a sweep names into the workspace, unless they are there already.

    Raises:
        CodeError: The content that a file had when the sweep was made is neither there nor in memory.
        OSError: The folder cannot be written to.
    """
    assert code.folder is not None
    look_in(code.folder)
    for place, digest in code.digests.items():
        path = kept_at(code.folder, digest, place)
        if not place.endswith(".py") or _is_whole(path, digest):
            continue
        if digest not in _remembered:
            raise CodeError(
                f"{place} must be what it was when the sweep was read, SHA-256 {digest[:12]}...",
                got=f"no copy of it ({path.parent})",
                advice="Give the sweep as a file next to it.",
            )
        write_atomically(path, _remembered[digest])


def kept_at(folder: Path, digest: str, place: str) -> Path:
    """Where a folder keeps a file of this content, which a sweep names so."""
    return folder / digest[:32] / Path(place).name


def _remember(content: bytes, path: Path) -> str:
    digest = hashlib.sha256(content).hexdigest()
    _remembered[digest], _places[digest] = content, str(path)
    return digest


def _check_kept(folder: Path, digest: str, place: str) -> None:
    look_in(folder)
    path = kept_at(folder, digest, place)
    try:
        content = read_plain(path, most_bytes=MOST_BYTES)
    except OSError as error:
        got = f"{error.strerror or error} ({path})"
        raise CodeError(f"{place} must be in the workspace", got=got, advice=_AGAIN) from error
    _check(place, content, digest)


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(read_plain(path, most_bytes=MOST_BYTES)).hexdigest() == digest
    except OSError:
        return False


def _check(place: str, content: bytes, digest: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise CodeError(
            f"{place} must be what it was when the study began, SHA-256 {digest[:12]}...",
            got=f"{found[:12]}...",
            advice="Put it back, or give the sweep another study name.",
        )


def _resolved(text: str, *, group: str) -> Reference:
    reference = resolved(text, group=group)
    if reference is None:
        known = f" or an entry point of {group} ({', '.join(offered(group)) or 'none is installed'})"
        advice = "Install the package that has it, or correct the name."
        raise CodeError(f"must be FILE.py:NAME, package.module:NAME{known}", got=repr(text), advice=advice)
    return reference


def _imported(reference: Reference) -> Any:
    try:
        module = importlib.import_module(reference.place)
    except (Exception, SystemExit) as error:
        raise _not_importable(reference, error) from error
    return _attribute(reference, module)


def _run(reference: Reference, digest: str) -> Any:
    """Import a file of this content, and of no other, whatever has become of the file by now."""
    try:
        module = importlib.import_module(f"deepcolor_code_{digest[:32]}")
    except _AbsentError as error:
        rule = f"{reference.place} must be in the workspace as it was when the study began, SHA-256 {digest[:12]}..."
        raise CodeError(rule, got=str(error), advice=_AGAIN) from error
    except (Exception, SystemExit) as error:
        raise _not_importable(reference, error) from error
    return _attribute(reference, module)


class _AbsentError(ImportError):
    """No file of a content is kept anywhere."""


class _Finder(MetaPathFinder, Loader):
    """Finds a file by its content, which its module is named after; so other processes find what pickle names."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        return ModuleSpec(fullname, self) if _MODULE.fullmatch(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # noqa: ARG002  # Python's own will do
        return None

    def exec_module(self, module: ModuleType) -> None:
        match = _MODULE.fullmatch(module.__name__)
        assert match is not None
        content, path = _found(match["digest"])
        module.__file__ = path
        exec(compile(content, path, "exec"), vars(module))  # noqa: S102  # the user named it to be run


def _found(start: str) -> tuple[bytes, str]:
    """The content whose SHA-256 begins so, and where it came from."""
    for digest, content in _remembered.items():
        if digest.startswith(start):
            return content, _places[digest]
    spoilt = None
    for path in (path for folder in _folders for path in sorted((folder / start).glob("*.py"))):
        try:
            content = read_plain(path, most_bytes=MOST_BYTES)
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest().startswith(start):
            return content, str(path)
        spoilt = path
    where = ", ".join(map(str, _folders)) or "no folder to look in"
    raise _AbsentError(f"another content in {spoilt}" if spoilt else f"nothing of it ({where})")


sys.meta_path.append(_Finder())


def _not_importable(reference: Reference, error: BaseException) -> CodeError:
    got = " ".join(f"{type(error).__name__}: {error}".split()).partition(" For further information visit")[0]
    return CodeError(f"{reference.place} must be importable", got=got, advice=_FIX)


def _attribute(reference: Reference, module: ModuleType) -> Any:
    if not hasattr(module, reference.name):
        raise CodeError(f"{reference.place} must have something called {reference.name}", advice="Correct the name.")
    return getattr(module, reference.name)


def _content_of(reference: Reference, folder: Path) -> bytes:
    path = folder / reference.place
    try:
        return read_plain(path, most_bytes=MOST_BYTES)
    except OSError as error:
        raise CodeError(
            f"{reference.place} must be a file that can be read",
            got=f"{(error.strerror or str(error)).lower()}: {path}",
            advice="Paths are relative to the folder of the file that names them. A study that has begun can continue "
            "without it: deepcolor studies NAME --write-sweep FILE.",
        ) from error


def _source_of_module(name: str) -> bytes:
    """The content of a module's file; nothing is imported for it, as importing a package takes time."""
    spec = _spec_of(name)
    if spec is None or spec.origin is None:
        raise CodeError(f"the module {name} must be installed", advice="Install it, or name a file: FILE.py:NAME.")
    try:
        return Path(spec.origin).read_bytes()
    except OSError:
        return name.encode()  # Built in, or in an archive: its name is all that is known of it.


def _spec_of(name: str) -> ModuleSpec | None:
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for part in below:
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    except KeyError:  # A namespace within a namespace, whose parents hold no code.
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec


def _check_defined(reference: Reference, content: bytes) -> None:
    """Raise CodeError unless a file is Python and defines a name at its outermost level."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Warnings about the code are shown where it runs.
            defined = set(_names(ast.parse(content).body))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CodeError(f"{reference.place} must be Python", got=str(error), advice="Fix it.") from error
    if reference.name not in defined and "*" not in defined:
        own = (node.name for node in ast.parse(content).body if isinstance(node, ast.ClassDef | ast.FunctionDef))
        known = ", ".join(sorted(name for name in own if not name.startswith("_")))
        rule = f"{reference.place} must define {reference.name}"
        raise CodeError(rule, got=known or "nothing", advice="Correct the name.")


def _names(body: Iterable[ast.AST]) -> Iterator[str]:
    """The names that statements define at their own level, in whichever branch; `*` where that cannot be known."""
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case _:
                yield from _names(ast.iter_child_nodes(node))


@cache
def _entry_points(group: str) -> Mapping[str, str]:
    return {point.name: f"{point.module}:{point.attr}" for point in entry_points(group=group)}
