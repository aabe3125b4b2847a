"""From a file to a place in the queue: read it where it lies, take it in where it will run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepcolor.app.naming import refuse_former_names
from deepcolor.app.pipeline import check_own_name
from deepcolor.atomic import write_atomically
from deepcolor.config.load import kind_of, load_pipeline, load_text, sweep_of, to_yaml
from deepcolor.config.schema import Pipeline, Sweep
from deepcolor.config.yamlfile import MAX_BYTES, parse
from deepcolor.errors import ConfigError, UserError
from deepcolor.fields.contents import content_fields, digest_in, place_of
from deepcolor.plugins import MOST_BYTES, kept_at, source_of
from deepcolor.printable import fit_to_print, without_secrets
from deepcolor.service.allowed import check_parsed, check_tree, code_places, sweeps_of
from deepcolor.service.queue import Queue
from deepcolor.service.record import MOST_PRIORITY, Submission, new_id
from deepcolor.workspace import Workspace

_WHERE = "the submission"
_LONGEST_COMMAND = 2000


@dataclass(frozen=True)
class Draft:
    """What is handed to a queue, here or by HTTP."""

    text: str
    """A sweep or a pipeline in YAML; one that names no other file."""
    code: Mapping[str, str] = field(default_factory=dict)
    """Content of the user's own files that it names, by SHA-256."""
    priority: int = 0
    extend: bool = False
    command: str = ""
    own_name: str | None = None
    force: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The draft as a JSON object."""
        return {**asdict(self), "code": dict(self.code)}


def read_draft(
    given: Path | str | Sweep | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    priority: int = 0,
    extend: bool = False,
    command: str = "",
    own_name: str | None = None,
    force: bool = False,
    code: Path | None = None,
) -> tuple[Draft, Sweep | Pipeline]:
    """Read a sweep or a pipeline with all that it names.

    Args:
        given: A file of either kind; a sweep also as `sweep_of` takes it.
        overrides: `key=value` each.
        priority: See `Submission`, and so are the others.
        extend: As there.
        command: As there.
        own_name: As there.
        force: As there.
        code: Where a workspace keeps the code of its studies, where the file is submitted in one.
    Raises:
        ConfigError: The file cannot be read, or what it asks for is refused.
    """
    parsed: Sweep | Pipeline
    if isinstance(given, str | Path) and kind_of(given) == "pipeline":
        parsed = load_pipeline(given, overrides, code=code)
    else:
        parsed = sweep_of(given, overrides, code=code)
    _check_promotion(parsed, own_name=own_name, force=force)
    digests = {digest for sweep in sweeps_of(parsed) for place, digest in sweep.code.items() if place.endswith(".py")}
    sources = {digest: source_of(digest).decode("utf-8") for digest in sorted(digests)}
    return Draft(to_yaml(parsed), sources, priority, extend, command, own_name, force), parsed


def take_in(draft: Draft, *, workspace: Workspace, user: str, allow_code: bool) -> Submission:
    """Check a draft once more, and put it into the queue of a workspace.

    Args:
        draft: From whoever submits it.
        workspace: Where it will run.
        user: Who submits it.
        allow_code: Whether it may bring code.
    Raises:
        ConfigError: It is refused.
        StudyError: One that has not ended drives the same study, or the study has another name by now.
    """
    if not -MOST_PRIORITY <= draft.priority <= MOST_PRIORITY:
        raise UserError(
            f"--priority: must be from -{MOST_PRIORITY} to {MOST_PRIORITY}; got {draft.priority}. Choose another one."
        )
    tree = _tree(draft.text)
    check_tree(tree, allow_code=allow_code)
    _keep_code(draft, tree, workspace=workspace)
    parsed = load_text(tree, where=_WHERE, code=workspace.code)
    check_parsed(parsed, allow_code=allow_code)
    _check_promotion(parsed, own_name=draft.own_name, force=draft.force)
    is_pipeline = isinstance(parsed, Pipeline)
    studies = tuple(sweep.study for sweep in sweeps_of(parsed))
    for name in studies:  # Refused here, and not when its turn has come.
        workspace.study(name)
    refuse_former_names(workspace, studies)
    submission = Submission(
        id=new_id(),
        kind="pipeline" if is_pipeline else "sweep",
        name=parsed.pipeline if isinstance(parsed, Pipeline) else parsed.study,
        studies=studies,
        user=user,
        text=draft.text,
        command=fit_to_print(without_secrets(draft.command))[:_LONGEST_COMMAND],
        priority=draft.priority,
        extend=draft.extend,
        own_name=draft.own_name,
        force=draft.force,
    )
    return Queue(workspace.create()).add(submission)


def parsed_of(submission: Submission, *, workspace: Workspace, allow_code: bool) -> Sweep | Pipeline:
    """Return what a submission is to run; what lies in the queue is trusted no more than what is sent to it.

    Raises:
        ConfigError: It cannot be read any more, or names what is not allowed.
    """
    tree = _tree(submission.text)
    check_tree(tree, allow_code=allow_code)
    parsed = load_text(tree, where=_WHERE, code=workspace.code)
    check_parsed(parsed, allow_code=allow_code)
    return parsed


def bring_weights(parsed: Sweep | Pipeline, workspace: Workspace) -> None:
    """Put weights in files of the user's, which a submission names by content, into the workspace."""
    for sweep in sweeps_of(parsed):
        if _own_weights(sweep):
            sweep.make_ready(workspace.create().root)


def refuse_weights(parsed: Sweep | Pipeline) -> None:
    """Refuse weights in files of the user's where only text can be sent.

    Raises:
        UserError: There are some.
    """
    for sweep in sweeps_of(parsed):
        for path in _own_weights(sweep):
            raise UserError(
                f"--service: weights in a file of your own cannot be sent; got {path} ({sweep.study}). Submit it in "
                "the service's workspace, without --service."
            )


def _check_promotion(parsed: Sweep | Pipeline, *, own_name: str | None, force: bool) -> None:
    """Refuse what is said of promotions where there are none, and a name that no champion can have.

    Raises:
        UserError: It is refused.
    """
    if isinstance(parsed, Pipeline):
        if own_name is not None:
            check_own_name(parsed, own_name)
    elif own_name is not None or force:
        option = "--as" if own_name is not None else "--force"
        raise UserError(
            f"{option}: must go with a pipeline, for a sweep promotes nothing; got the sweep {parsed.study}. Leave it "
            f"out, and promote afterwards with: deepcolor promote {parsed.study}"
        )


def _own_weights(sweep: Sweep) -> list[Path]:
    found = []
    for section in sweep.stage_class.sections().values():
        for name, _ in content_fields(section):
            digests = [digest_in(str(value)) for _, value in sweep.values(name)]
            found += [path for digest in digests if digest and (path := place_of(digest)) is not None]
    return found


def _tree(text: str) -> dict[str, Any]:
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise ConfigError(f"submission: may have {MAX_BYTES} bytes at most; got more. Make it smaller.")
    tree = parse(text, where=_WHERE)
    if not isinstance(tree, dict):
        raise ConfigError(
            f"submission: must be a sweep or a pipeline in YAML; got {type(tree).__name__}. See docs/sweep-files.md."
        )
    return tree


def _keep_code(draft: Draft, tree: Mapping[str, Any], *, workspace: Workspace) -> None:
    """Store the files of code that a draft brings, each under the digest of its content."""
    for place, digest in code_places(tree):
        content = draft.code.get(digest)
        if content is None:
            continue  # The workspace may have it; if not, reading it will say so.
        data = content.encode("utf-8", "replace")
        if len(data) > MOST_BYTES or hashlib.sha256(data).hexdigest() != digest:
            raise ConfigError(f"code: {place} must be what its SHA-256 says; got another content. Submit it again.")
        write_atomically(kept_at(workspace.code, digest, place), data)
