"""What `import-linter` has no contract for: circles, what prints, names in texts, and names that are not public."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

import deepcolor

PACKAGE = Path(deepcolor.__file__).parent
FACES = ("cli/", "service/")
"""The rooms that people see: they may print."""
PRINT_TOO = {
    "__main__.py": "the command line has not been imported yet",
    "app/signals.py": "the last words of a process that cannot end in any other way",
    "execution/admission.py": "a worker process says what its driver will not hear of, to whoever reads its job's log",
    "config/reference.py": "a program of its own: `make docs`",
    "notebook.py": "a cell's output is to a notebook what a terminal is to the command line",
    "tracking/writer.py": "what libraries print in its process is printed without secrets",
}
PRIVATE = {
    "search/study/optuna_private.py": {"optuna.storages._rdb.models"},
    "tracking/mlflow_private.py": {"_MLFLOW_SERVER_ARTIFACT_ROOT"},
    # Whether a model is served; it is told so by MLflow's server.
    "data/decoding/bounds.py": {"_MLFLOW_IS_IN_SERVING_ENVIRONMENT"},
    "inference/pyfunc_model.py": {"_MLFLOW_IS_IN_SERVING_ENVIRONMENT"},
    # A logger of MLflow's, which is kept quiet.
    "tracking/store.py": {"mlflow.store"},
}
"""What is named of the inside of Optuna and MLflow, and where."""
_INSIDE = re.compile(
    r"(?P<name>(?:optuna|mlflow)(?:\.\w+)*\._\w+(?:\.\w+)*|mlflow\.(?:protos|server|store|utils)\b|_MLFLOW_\w+)(?:\.\w+)*"
)
_STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
_DRAWING = {"rich", "typer", "click"}
_ABOVE = re.compile(r"deepcolor\.(?:api|notebook|cli|service)(?:\..*)?")  # `deepcolor.study` is a tag in MLflow, too.


def test_no_module_imports_itself_through_others() -> None:
    """There is no circle of imports, including those inside functions."""
    graph = grimp.build_graph("deepcolor", exclude_type_checking_imports=True, cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imported).prepare()  # raises CycleError with the circle


def test_only_the_command_line_prints() -> None:
    """Nothing else prints, draws, or as much as names a standard stream, but for a few files that say why."""
    found = {name: list(_printing(tree)) for name, tree in _modules() if not name.startswith(FACES)}
    printing = {name: lines for name, lines in found.items() if lines}
    assert printing.keys() == PRINT_TOO.keys(), printing


def test_use_cases_and_what_is_below_never_name_a_command_line() -> None:
    """Neither for the sake of a type nor as a text to import by is anything named that is above them."""
    above = (*FACES, "__init__.py", "__main__.py", "api/", "study.py", "notebook.py")
    named = {
        f"deepcolor/{name}:{line}": module
        for name, tree in _modules()
        if not name.startswith(above)
        for line, module in _named(tree)
        if _ABOVE.fullmatch(module)
    }
    assert named == {}


def test_what_is_inside_of_optuna_and_mlflow_is_named_in_few_places() -> None:
    """Where a later version may have something else, a file of its own says what is done then."""
    found: dict[str, set[str]] = {}
    for name, tree in _modules():
        for _, text in _named(tree):
            if inside := _INSIDE.fullmatch(text):
                found.setdefault(name, set()).add(inside["name"])
    assert found == PRIVATE


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _printing(tree: ast.Module) -> Iterator[str]:
    """Yield each line of a module that prints, or names what printing is done with."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                prints = True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="write"), args=[ast.Constant(value=to), *_]):
                prints = to in {1, 2}
            case ast.Attribute(value=ast.Name(id="sys"), attr=name):
                prints = name in _STREAMS
            case ast.ImportFrom(module="sys", names=names):
                prints = any(name.name in _STREAMS for name in names)
            case ast.Import() | ast.ImportFrom():
                prints = any(module.partition(".")[0] in _DRAWING for _, module in _imported(node))
            case _:
                continue
        if prints:
            yield f"{node.lineno}: {ast.unparse(node)}"


def _named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of each module that is imported, and of each text that could be one's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.ImportFrom):
        yield node.lineno, node.module or ""
        yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)
    else:
        yield from ((node.lineno, name.name) for name in node.names)
