"""Read sweep and pipeline files into frozen models, once, at the edge; say in one line what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from deepcolor.config.first import Table, names_table, table_of
from deepcolor.config.layers import Key, Layer, Override, holding, merged, parse_override, place
from deepcolor.config.schema import Choices, Pipeline, Range, Sweep
from deepcolor.config.yamlfile import dump, read_mapping
from deepcolor.errors import CodeError, ConfigError
from deepcolor.fields.contents import content_fields, content_of
from deepcolor.fields.refusal import Refusal, refusal_of, unknown_key, written
from deepcolor.plugins import Reference, look_in, read
from deepcolor.stages.contract import Stage, UnknownStage
from deepcolor.stages.finding import STAGES, label_of, stage_of

Kind = Literal["sweep", "pipeline"]


def load_sweep(path: Path | str, overrides: Sequence[str] = (), *, code: Path | None = None) -> Sweep:
    """Read a sweep file.

    Args:
        path: The file. Messages name it as it is given here.
        overrides: `key=value` each, dotted keys, values in YAML; later ones win over earlier ones and over the file.
        code: Where a workspace keeps the code of its studies (`Workspace.code`), for a sweep that continues one.
    Raises:
        ConfigError: The file cannot be read, or what it asks for is refused; the message names the key and its place.
    """
    path = Path(path)
    _know(code)
    tree = _read(path, kind="sweep")
    layers = [Layer(tree, str(path), folder=path.parent), *(parse_override(text).layer() for text in overrides)]
    return _sweep_of(layers)


def sweep_of(
    given: Sweep | Mapping[str, Any] | Path | PathLike[str] | str,
    overrides: Sequence[str] = (),
    *,
    code: Path | None = None,
) -> Sweep:
    """Return a sweep from whatever a Python user has of it: a file, a mapping as a file holds it, or a `Sweep`.

    Raises:
        ConfigError: As for `load_sweep`.
    """
    if isinstance(given, str | PathLike):
        return load_sweep(Path(given), overrides, code=code)
    _know(code)
    tree = given.model_dump(mode="json") if isinstance(given, Sweep) else given
    if not isinstance(tree, Mapping):
        raise ConfigError(f"sweep: must be a file, a mapping or a Sweep; got {type(given).__name__}.")
    return _sweep_of([Layer(tree, "the sweep given"), *(parse_override(text).layer() for text in overrides)])


def load_pipeline(path: Path | str, overrides: Sequence[str] = (), *, code: Path | None = None) -> Pipeline:
    """Read a pipeline file and the sweep files it names.

    Args:
        path: The file. Each of its `sweeps` is a whole sweep, a path relative to the file, or a mapping with `file` and
            keys that are laid over that file's.
        overrides: `key=value` each; keys start with `sweeps.N` (from 0) or a stage, are those of every sweep
            (`training.KEY`), or the pipeline's own.
        code: As for `load_sweep`.
    Raises:
        ConfigError: As for `load_sweep`.
    """
    path = Path(path)
    _know(code)
    root = Layer(_read(path, kind="pipeline"), str(path), folder=path.parent)
    return _pipeline_of(root, overrides)


def load_text(tree: Mapping[str, Any], *, where: str, code: Path | None = None) -> Sweep | Pipeline:
    """Read a sweep or a pipeline that lies in no file of its own.

    Args:
        tree: The keys and values of its YAML (`yamlfile.parse`).
        where: What messages call it.
        code: As for `load_sweep`.
    Raises:
        ConfigError: As for `load_sweep`.
    """
    _know(code)
    layer = Layer(tree, where)
    return _pipeline_of(layer, ()) if kind_of_tree(tree, where=where) == "pipeline" else _sweep_of([layer])


def _pipeline_of(root: Layer, overrides: Sequence[str]) -> Pipeline:
    parsed = [parse_override(text) for text in overrides]
    entries = [_entry_layers(root, index, entry) for index, entry in enumerate(_entries(root))]
    own = []
    for override in parsed:
        targets = _targets(override, entries)
        for index, depth in targets:
            entries[index].append(override.below(depth).layer())
        own += [] if targets else [override.layer()]
    sweeps = tuple(_sweep_of(layers) for layers in entries)
    layers = [root, *own]
    try:
        return Pipeline.model_validate({**merged(layers), "sweeps": sweeps})
    except ValidationError as error:
        raise _explained(error, layers, model=Pipeline, stage=UnknownStage) from None


def kind_of(path: Path | str) -> Kind:
    """Tell a sweep file from a pipeline file by its outermost keys.

    Raises:
        ConfigError: The file cannot be read, or is neither.
    """
    return kind_of_tree(read_mapping(Path(path), kind="sweep or pipeline"), where=str(path))


def kind_of_tree(tree: Mapping[str, Any], *, where: str) -> Kind:
    """The same for what has been read already, which messages call `where`."""
    if "pipeline" in tree or "sweeps" in tree:
        return "pipeline"
    if any(key in Sweep.model_fields for key in tree):
        return "sweep"
    got = written(", ".join(tree) or "no keys")
    raise ConfigError(
        f"file: must be a sweep or a pipeline; got {got} ({where}). See docs/sweep-files.md for their keys."
    )


def to_yaml(model: Sweep | Pipeline) -> str:
    """Write a sweep or pipeline with every default, in the reference's order; read back, it is equal."""
    return dump(model.model_dump(mode="json"))


def _know(code: Path | None) -> None:
    if code is not None:
        look_in(code)


def _read(path: Path, *, kind: Kind) -> dict[str, Any]:
    tree = read_mapping(path, kind=kind)
    is_pipeline = "pipeline" in tree or "sweeps" in tree
    if is_pipeline and kind == "sweep":
        raise ConfigError(
            f"sweep file: must be a sweep; got a pipeline ({path}). Run it with: deepcolor pipeline {path}"
        )
    if not is_pipeline and kind == "pipeline" and "study" in tree:
        raise ConfigError(
            f"pipeline file: must be a pipeline; got a sweep ({path}). Run it with: deepcolor sweep {path}"
        )
    return tree


def _entries(root: Layer) -> list[Any]:
    entries = root.tree.get("sweeps")
    if isinstance(entries, list) and entries:
        return entries
    rule = "must be a list with at least one sweep"
    got = "no such key" if "sweeps" not in root.tree else written(entries)
    raise _error(Refusal(rule, got=got, advice="List sweep files, such as - file: regressor.yaml"), ("sweeps",), [root])


def _entry_layers(root: Layer, index: int, entry: Any) -> list[Layer]:
    prefix = ("sweeps", str(index))
    if isinstance(entry, str):
        entry = {"file": entry}
    if not isinstance(entry, Mapping):
        rule, advice = "must be a sweep or the path of a sweep file", "Write - file: regressor.yaml"
        raise _error(Refusal(rule, got=written(entry), advice=advice), prefix, [root])
    if "file" not in entry:
        return [replace(root, tree=entry, prefix=prefix)]
    name, over = entry["file"], {key: value for key, value in entry.items() if key != "file"}
    if not isinstance(name, str):
        rule, advice = "must be the path of a sweep file", "Paths are relative to this file."
        raise _error(Refusal(rule, got=written(name), advice=advice), (*prefix, "file"), [root])
    path = root.folder / name
    return [Layer(_read(path, kind="sweep"), str(path), folder=path.parent), replace(root, tree=over, prefix=prefix)]


def _targets(override: Override, entries: Sequence[Sequence[Layer]]) -> list[tuple[int, int]]:
    """The sweeps an override is for, and how many of its keys led there; none when it is the pipeline's own."""
    stages = [label_of(str(merged(layers).get("stage"))) for layers in entries]
    head, *rest = override.key
    if head in stages and rest:
        return [(index, 1) for index, stage in enumerate(stages) if stage == head]
    if head == "sweeps" and len(rest) > 1 and rest[0].isdecimal() and int(rest[0]) < len(entries):
        return [(int(rest[0]), 2)]
    if head in Pipeline.model_fields and head != "sweeps" and not rest:
        return []
    if head in _SECTIONS and rest:
        return [(index, 0) for index in range(len(entries))]
    known = [f"sweeps.{index}.KEY" for index in range(len(entries))]
    known += [f"{stage}.KEY" for stage in dict.fromkeys(stages)]
    known += [f"{section}.KEY" for section in _SECTIONS]
    names = ", ".join([*known, "pipeline", "description"])
    raise ConfigError(f"{'.'.join(override.key)}: must name a key of a sweep (-o {override.text}). Allowed: {names}.")


_SECTIONS = ("data", "model", "training", "init", "search")
"""Their keys, without a stage before them, are those of every sweep."""


def _sweep_of(layers: Sequence[Layer]) -> Sweep:
    tree = _with_code_of_stage(merged(layers), layers)
    table = _table_in(tree, layers)
    if table is not None:
        tree = {**tree, "search": {**tree["search"], "first": table.entries}}
    try:
        sweep = _with_contents(_with_code(Sweep.model_validate(tree), layers), layers)
    except ValidationError as error:
        raise _explained(error, layers, model=Sweep, stage=_stage_of(tree), table=table) from None
    return sweep.saying(table.note) if table is not None else sweep


def _table_in(tree: Mapping[str, Any], layers: Sequence[Layer]) -> Table | None:
    """Read the settings to try first, where a sweep names a file of them."""
    search = tree.get("search")
    first = search.get("first") if isinstance(search, Mapping) else None
    if not isinstance(search, Mapping) or not isinstance(first, str) or not names_table(first):
        return None
    written_space = search.get("space")
    space = written_space if isinstance(written_space, Mapping) else {}

    def choices_of(name: str) -> Sequence[Any]:
        spec = space[name]
        values = spec.get("values", ()) if isinstance(spec, Mapping) else spec
        return list(values) if isinstance(values, Mapping | list | tuple) else ()

    folder = holding(layers, ("search", "first")).folder
    return table_of(first, folder=folder, names=[str(name) for name in space], choices_of=choices_of)


def _with_code_of_stage(tree: dict[str, Any], layers: Sequence[Layer]) -> dict[str, Any]:
    """Fill in the SHA-256 of a stage of the user's own, which has to be known before its sections can be read."""
    name, code = tree.get("stage"), tree.get("code", {})
    if not isinstance(name, str) or name in STAGES.shipped or not isinstance(code, Mapping):
        return tree
    reference = STAGES.reference(name)
    if reference is None:
        raise _error(STAGES.unknown(name), ("stage",), layers)
    digest = code.get(reference.place) or _digest_of_code(reference, ("stage",), layers)
    known = {**code, reference.place: digest}
    try:
        stage_of(name, {place: str(sha256) for place, sha256 in known.items()})
    except CodeError as error:
        advice = "Fix it." if "another study name" in error.advice else error.advice  # Nothing has begun with it.
        raise _error(Refusal(error.rule, got=error.got, advice=advice), ("stage",), layers) from error
    return {**tree, "code": known}


def _stage_of(tree: Mapping[str, Any]) -> type[Stage]:
    """The stage of a sweep as it is written, as far as that can be told."""
    try:
        return stage_of(str(tree.get("stage")), tree.get("code", {}))
    except (CodeError, AttributeError):
        return UnknownStage


def _with_code(sweep: Sweep, layers: Sequence[Layer]) -> Sweep:
    """Fill in the SHA-256 of the code that a sweep names: as given, else as it is now."""
    found: dict[str, str] = {}
    for dotted, value, named in sweep.named():
        if value in named.shipped:
            continue
        key, reference = tuple(dotted.split(".")), named.reference(value)
        if reference is None:
            raise _error(named.unknown(value), key, layers)
        digest = sweep.code.get(reference.place) or _digest_of_code(reference, key, layers)
        if found.setdefault(reference.place, digest) != digest:
            rule, advice = f"{reference.place} must be the same file wherever it is named", "Write where each lies."
            raise _error(Refusal(rule, advice=advice), key, layers)
    return sweep if found == dict(sweep.code) else sweep.model_copy(update={"code": found})


def _with_contents(sweep: Sweep, layers: Sequence[Layer]) -> Sweep:
    """Put the content of the files that a sweep names in the place of their paths."""
    for part, section in sweep.stage_class.sections().items():
        for field, contents in content_fields(section):
            paths = [(key, str(value)) for key, value in sweep.values(field) if contents.is_file(value)]
            found = {path: _content_of(path, tuple(key.split(".")), layers) for key, path in paths}
            sweep = sweep.with_values(part, field, found) if found else sweep
    return sweep


def _content_of(path: str, key: Key, layers: Sequence[Layer]) -> str:
    file = holding(layers, key).folder / Path(path).expanduser()
    try:
        if not file.is_file():
            raise FileNotFoundError(2, "no such file")
        return content_of(file)
    except OSError as error:
        got = f"{path}: {error.strerror or error}"
        advice = "Paths are relative to the file that names them."
        raise _error(Refusal("must be a file that can be read", got=got, advice=advice), key, layers) from error


def _digest_of_code(reference: Reference, key: Key, layers: Sequence[Layer]) -> str:
    try:
        return read(reference, folder=holding(layers, key).folder)
    except CodeError as error:
        raise _error(Refusal(error.rule, got=error.got, advice=error.advice), key, layers) from error


def _explained(
    error: ValidationError,
    layers: Sequence[Layer],
    *,
    model: type[BaseModel],
    stage: type[Stage],
    table: Table | None = None,
) -> ConfigError:
    """The first error in full, and the keys of the others; unknown keys come first, for they explain missing ones."""
    tree = merged(layers)
    found: dict[Key, Refusal] = {}
    for detail in sorted(error.errors(include_url=False), key=lambda entry: entry["type"] != "extra_forbidden"):
        loc = tuple(str(part) for part in detail["loc"])
        refusal = _unknown(loc, model, stage) if detail["type"] == "extra_forbidden" else refusal_of(detail)
        below = tuple(refusal.key.split(".")) if refusal.key else ()
        found.setdefault((*_key_of(loc, tree), *below), refusal)
    (key, refusal), *others = found.items()
    # What a misspelt key was to give is missing, too: said once is enough.
    also = [other for other, one in others if not (refusal.is_unknown and one.is_missing and other[:-1] == key[:-1])]
    where = table.where(int(key[2])) if table and key[:2] == ("search", "first") and len(key) > 2 else None
    return _error(refusal, key, layers, where=where, others=[".".join(other) for other in also])


def _error(
    refusal: Refusal, key: Key, layers: Sequence[Layer], *, where: str | None = None, others: Sequence[str] = ()
) -> ConfigError:
    subject = ".".join(key[-2:] if key[-1].isdecimal() else key[-1:]) if key else "file"
    got = f"; got {refusal.got}" if refusal.got else ""
    also = f" Also wrong: {', '.join(others)}." if others else ""
    return ConfigError(
        f"{subject}: {refusal.rule}{got} ({where or place(layers, key)}). {refusal.advice}{also}".rstrip()
    )


def _key_of(loc: Key, tree: Mapping[str, Any]) -> Key:
    """The key as the user wrote it: pydantic counts a search space's dimensions, and names their form."""
    if loc[:2] != ("search", "space") or len(loc) < 3:
        return loc
    name, spec = list(tree["search"]["space"].items())[int(loc[2])]
    inner = loc[4:] if isinstance(spec, Mapping) and loc[4:] != ("name",) else ()
    return ("search", "space", name, *("values" if part == "members" else part for part in inner))


def _unknown(loc: Key, model: type[BaseModel], stage: type[Stage]) -> Refusal:
    """Refuse the key at the end of `loc`, naming the keys allowed there and the section it may belong to."""
    name = loc[-1]
    owner = _owner(loc[:-1], model, stage)
    section = _section_with(name, Sweep, stage) if issubclass(model, Sweep) else None
    hint = f"{name} belongs under {section}." if section and owner not in (Range, Choices) else ""
    known = [field for field in owner.model_fields if owner not in (Range, Choices) or field != "name"]
    return unknown_key(name, known, hint=hint)


def _section_with(name: str, model: type[BaseModel], stage: type[Stage]) -> str | None:
    """The dotted name of the section that has a key; None for no section, or where the model itself has it."""
    for field, info in model.model_fields.items():
        section = _section_of(field, info.annotation, stage)
        if section is None:
            continue
        if name in section.model_fields:
            return field
        if (below := _section_with(name, section, stage)) is not None:
            return f"{field}.{below}"
    return None


def _owner(loc: Key, model: type[BaseModel], stage: type[Stage]) -> type[BaseModel]:
    forms: dict[str, type[BaseModel]] = {"range": Range, "choices": Choices, "bundle": Choices}
    for part in loc:
        field = model.model_fields.get(part)
        section = _section_of(part, field.annotation, stage) if field is not None else None
        if part in forms:
            model = forms[part]
        elif section is not None:
            model = section
    return model


def _section_of(field: str, annotation: Any, stage: type[Stage]) -> type[BaseModel] | None:
    """The model that a field holds, or may hold; None for one that holds a value."""
    kinds = (annotation, *get_args(annotation))
    found = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    own: type[BaseModel] | None = getattr(stage, field, None) if field in {"data", *stage.sections()} else None
    return own if own is not None and found is not None and issubclass(own, found) else found
