"""Run the benchmarks, keep their results, and write the tables of docs/performance.md. `make bench` calls it.

for each benchmark asked for: benchmarks/NAME.py, a process of its own
    read the one JSON object it prints
    write benchmarks/results/NAME.json: that object, the machine, the versions, the commit
    show its table, and write the tables of all results there are into the document

A benchmark that fails is reported, and the others go on. A quick run shows that a benchmark works; its result is kept
only where there is no full one.

    python benchmarks/suite.py [NAME ...] [--quick] [--document] [-- OPTION ...]

What follows a -- goes to the one benchmark named before it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deepcolor.atomic import write_atomically
from deepcolor.training.machine import cpu_name, gpu_names, memory_bytes, system_name

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_KEYS = {"title", "about", "table", "results", "options"}
_PACKAGES = ("torch", "optuna", "mlflow")
_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.@+-]+/)+([\w.@+-]+)")
_NUMBER = re.compile(r"[-+<>~]?[\d.,]+(?:e[-+]?\d+)?(?:\s?(?:%|x|s|ms))?|-")


class Wrong(Exception):
    """A benchmark, a name or the document is not as it must be; the message fits on one line."""


@dataclass(frozen=True)
class Place:
    """The repository, or a folder of the same form."""

    root: Path

    @property
    def scripts(self) -> Path:
        return self.root / "benchmarks"

    @property
    def results(self) -> Path:
        return self.scripts / "results"

    @property
    def document(self) -> Path:
        return self.root / "docs" / "performance.md"

    def names(self) -> list[str]:
        """Every benchmark, by name."""
        return sorted(path.stem for path in self.scripts.glob("*.py") if path.stem != Path(__file__).stem)


def main() -> None:
    """Run what is asked for; exit code 1 when a benchmark has failed, 2 when a name or the document is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; all of them if none is named")
    parser.add_argument("--quick", action="store_true", help="a short run of each, to see that it works")
    parser.add_argument("--document", action="store_true", help="only write the tables of the results there are")
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent, help="of the repository")
    given, passed_on = _parted(sys.argv[1:])
    options = parser.parse_args(given)
    flags = [*(["--quick"] if options.quick else []), *passed_on]
    place = Place(options.root.absolute())
    try:
        names = [] if options.document else _checked(options.names, place.names(), alone=bool(passed_on))
        write_document(place)
        failed = [name for name in names if not _run_and_keep(name, place, flags=flags)]
    except Wrong as wrong:
        _say(f"error: {wrong}.")
        sys.exit(2)
    if failed:
        _say(f"error: {len(failed)} of {len(names)} benchmarks failed: {', '.join(failed)}.")
        sys.exit(1)


def run(name: str, place: Place, *, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Run one benchmark, and return its result with all that is needed to judge it.

    Raises:
        Wrong: It failed, or printed something else than one object of the agreed form.
    """
    about_now = {
        "benchmark": name,
        "quick": "--quick" in flags,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": _versions(),
        "commit": _commit(place.root),
    }
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(place.scripts / f"{name}.py"), *flags],
        cwd=place.root,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    took_s = round(time.perf_counter() - started, 1)
    if done.returncode:
        raise Wrong(f"{name}: must end with exit code 0; got {done.returncode}")
    return {**_without_places(_parsed(name, done.stdout)), **about_now, "took_s": took_s}


def machine() -> dict[str, Any]:
    """Return what the figures depend on; no name of a host, no address."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": cpu_name(),
        "cores": cores,
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "gpus": list(gpu_names()),
        "system": system_name(),
    }


def write_document(place: Place) -> None:
    """Write the tables of all results there are between the document's two markers; the rest of it stays.

    Raises:
        Wrong: The document has no such markers.
    """
    text = place.document.read_text(encoding="utf-8") if place.document.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Wrong(f"{place.document.name}: must hold the lines {BEGIN} and {END}. Put them around the tables")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(place.results.glob("*.json"))]
    sections = "\n".join(section(record) for record in records) or "No benchmark has been recorded yet.\n"
    write_atomically(place.document, f"{before}{BEGIN}\n\n{sections}\n{END}{after}".encode())


def section(record: Mapping[str, Any]) -> str:
    """Write one result as a section of the document: title, what it is, table, and where the figures come from."""
    header, rows = record["table"]["header"], record["table"]["rows"]
    aligned = ["---:" if _numeric([row[column] for row in rows]) else "---" for column in range(len(header))]
    lines = [_markdown_row(line) for line in (header, aligned, *rows)]
    title = f"### {record['title']}{' (a quick run)' if record['quick'] else ''}"
    return "\n".join([title, "", _wrapped(record["about"]), "", *lines, "", _wrapped(_origin(record)), ""])


def _run_and_keep(name: str, place: Place, *, flags: Sequence[str]) -> bool:
    """Run one benchmark, show its table and keep its result; False when it failed."""
    _say(f"== {name}")
    try:
        record = run(name, place, flags=flags)
    except Wrong as wrong:
        _say(f"failed: {wrong}")
        return False
    _show(record)
    target = place.results / f"{name}.json"
    if record["quick"] and target.exists() and not json.loads(target.read_text(encoding="utf-8"))["quick"]:
        _say(f"the full result of {name} is kept; a quick one does not take its place")
        return True
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, (json.dumps(record, indent=2) + "\n").encode())
    write_document(place)
    return True


def _parted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before and after the first `--`."""
    at = words.index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


def _checked(asked: Sequence[str], known: Sequence[str], *, alone: bool) -> list[str]:
    if alone and len(asked) != 1:
        raise Wrong(f"--: what follows goes to one benchmark; got {len(asked)} names. Name one")
    for name in asked:
        if name not in known:
            raise Wrong(f"benchmark: must be one of {', '.join(known)}; got {name}. Choose one of these")
    return list(asked or known)


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        printed = json.loads(text)
    except ValueError as error:
        raise Wrong(f"{name}: must print exactly one JSON object on stdout; {error}") from None
    missing = _KEYS - printed.keys() if isinstance(printed, dict) else _KEYS
    if missing:
        raise Wrong(
            f"{name}: its JSON object must have {', '.join(sorted(_KEYS))}; missing: {', '.join(sorted(missing))}"
        )
    table = printed["table"]
    if any(len(row) != len(table["header"]) for row in table["rows"]):
        raise Wrong(f"{name}: each row of its table must have {len(table['header'])} cells, as the header has")
    table["rows"] = [[str(cell) for cell in row] for row in table["rows"]]
    return {key: printed[key] for key in ("title", "about", "table", "results", "options")}


def _without_places(value: Any) -> Any:
    """The same without the host's name, and with the last part of a path in place of the path."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    if isinstance(value, str):
        return "this machine" if value == platform.node() else _PATH.sub(r"\1", value)
    return value


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit(root: Path) -> dict[str, Any] | None:
    """The commit that was measured, and whether the working tree differs from it; None outside of a repository."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)  # noqa: S607  # whichever git the user has
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    # What the suite writes itself is no change of what it measures.
    changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs/performance.md")
    return {"hash": commit, "dirty": bool(changed)}


def _origin(record: Mapping[str, Any]) -> str:
    """Where the figures come from, in one sentence."""
    host, commit = record["machine"], record["commit"]
    gpus = ", ".join(host["gpus"]) or "no GPU"
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    code = f"commit {commit['hash'][:10]}{' with changes' if commit['dirty'] else ''}" if commit else "no commit"
    options = ", ".join(f"{name} {_plain(value)}" for name, value in record["options"].items() if name != "quick")
    return (
        f"`make bench BENCH={record['benchmark']}`, {record['date'][:10]}: {host['cpu']}, {host['cores']} cores, "
        f"{host['memory_gib']} GiB, {gpus}; {host['system']}; {versions}; {code}; load {record['load_before']} before; "
        f"{record['took_s']:.0f} s{f'; {options}' if options else ''}."
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _numeric(cells: Sequence[str]) -> bool:
    return bool(cells) and all(_NUMBER.fullmatch(cell.strip()) for cell in cells)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _show(record: Mapping[str, Any]) -> None:
    header, rows = record["table"]["header"], record["table"]["rows"]
    grid = Table(title=record["title"], title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column, name in enumerate(header):
        grid.add_column(name, justify="right" if _numeric([row[column] for row in rows]) else "left")
    for row in rows:
        grid.add_row(*row)
    # A table in a file is not cut to the width of a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(grid)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
