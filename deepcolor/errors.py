"""The exceptions deepcolor raises on purpose, and the exit code each one means on the command line.

A message has the form *subject and rule; got value; where. What to do next.* and fits on one line.
"""

from __future__ import annotations

from functools import partial

EXIT_FAILURE = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class DeepcolorError(Exception):
    """Anything deepcolor reports as one line; by itself, a failure that is not the user's mistake."""

    exit_code = EXIT_FAILURE

    def _render_traceback_(self) -> list[str]:
        return _in_a_line(self)


class UserError(DeepcolorError):
    """The user can fix it: a wrong file, key, value, name or state."""

    exit_code = EXIT_USER_ERROR


class ConfigError(UserError):
    """A sweep or pipeline file, or an override, is wrong."""


class DataError(UserError):
    """A folder or data set cannot be used."""


class ShapeError(UserError, ValueError):
    """A tensor or an image has the wrong shape."""


class WorkspaceError(UserError):
    """The workspace is missing or read-only, or a name or path would lead out of it."""


class StudyError(UserError):
    """A study does not exist, has changed, or is owned by another driver."""


class ModelError(UserError):
    """A model folder, a registered model, an alias or a version does not exist or does not fit."""


class CodeError(UserError):
    """Code that a user brings is missing, has changed, or does not do what it must.

    Attributes:
        rule: What must hold.
        got: What is there instead; empty when `rule` says it already.
        advice: What to do next.
    """

    def __init__(self, rule: str, *, got: str = "", advice: str = "") -> None:
        got = got if got.endswith("...") else got.removesuffix(".")
        super().__init__(f"code: {rule}{f'; got {got}' if got else ''}. {advice}".rstrip())
        self.rule = rule
        self.got = got
        self.advice = advice

    def __reduce__(self) -> tuple[partial[CodeError], tuple[str]]:
        # Segments run in other processes, and their errors are pickled.
        return partial(CodeError, got=self.got, advice=self.advice), (self.rule,)


class CorruptFileError(DeepcolorError):
    """A file deepcolor wrote does not match its checksum."""


class TrackingError(DeepcolorError):
    """MLflow could not be reached or refused what it was sent."""


class ExecutorError(DeepcolorError):
    """The processes that train could not be started."""


class SegmentError(DeepcolorError):
    """A segment of training failed on its worker; the message carries the reason."""


class StoreError(SegmentError):
    """A segment could not write what it had trained: the disk's fault, not the setting's."""


class Interrupted(BaseException):
    """The user stopped the command; the message carries the line that resumes it.

    Like `KeyboardInterrupt`, it is not an `Exception`: it can be raised anywhere, and code that catches what may go
    wrong there must not catch it too.
    """

    exit_code = EXIT_INTERRUPTED

    def _render_traceback_(self) -> list[str]:
        return _in_a_line(self)


def _in_a_line(error: BaseException) -> list[str]:
    """What IPython shows in place of a traceback: as on the command line, the message says it all."""
    return [f"{type(error).__name__}: {error}"]
