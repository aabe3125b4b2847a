"""Why a value in a sweep or pipeline file is refused: the parts of the message, before its place is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

_LONGEST_VALUE = 60
_UNKNOWN = "unknown key"
_SYNONYMS = {
    "low": ("min", "minimum", "lower", "lower_bound", "start", "from", "a"),
    "high": ("max", "maximum", "upper", "upper_bound", "stop", "end", "to", "b"),
    "log": ("scale", "log_scale", "logarithmic", "loguniform", "log_uniform", "distribution", "type", "prior"),
    "step": ("q", "increment", "stride", "by"),
    "lr": ("learning_rates", "eta", "alpha"),
    "feature_maps": ("width", "channels", "filters", "features"),
    "batch_size": ("batch", "minibatch"),
    "lr_schedule": ("scheduler", "schedule"),
    "trials": ("max_trials", "num_samples", "n_iter"),
    "tpe": ("bayes", "bayesian", "optuna"),
    "random": ("uniform",),
    "nsga2": ("nsga", "nsgaii", "genetic", "evolutionary"),
    "parameters": ("params", "weights", "num_params", "size"),
    "at_most": ("max", "maximum", "most", "below", "under", "upper", "limit", "le"),
    "at_least": ("min", "minimum", "least", "above", "over", "lower", "ge"),
    "mb": ("megabytes", "model_mb", "bytes", "disk"),
    "epoch_s": ("seconds", "time", "epoch_time", "speed"),
    "asha": ("sha", "halving", "successive_halving"),
    "wall_s": ("time", "hours", "seconds", "minutes", "max_time", "timeout"),
    "name": ("dataset", "data_set", "folder", "path"),
}
"""What other tools, and people, call a key or a value."""
_EXAMPLES = {
    "data": "{name: faces}",
    "init": "{init_from: regressor@champion}",
    "search": "{space: {lr: [1e-3, 1e-4]}}",
    "pruner": "asha",
    "budget": "{wall_s: 3600}",
    "confirm": "{top: 3, seeds: 3}",
    "constraints": "{parameters: 1e6, epoch_s: 3}",
    "choose": "{lowest: val/mse, where: {epoch_s: 2}}",
}
"""A value of each section whose form has to be known."""


class Refusal(ValueError):
    """A rule that a value breaks. Pydantic carries it inside its ValidationError, up to the loader that knows the file.

    Attributes:
        rule: What must hold, such as "low must be below high".
        got: The offending value as the user would write it; empty when `rule` says it already.
        advice: What to do next, one sentence.
        key: Dotted path below the place that refuses, such as "init.init_from"; empty for that place itself.
    """

    def __init__(self, rule: str, *, got: str = "", advice: str = "", key: str = "") -> None:
        super().__init__(rule, got, advice, key)
        self.rule = rule
        self.got = got
        self.advice = advice
        self.key = key

    @property
    def is_unknown(self) -> bool:
        """Whether it refuses a key that does not exist."""
        return self.rule == _UNKNOWN

    @property
    def is_missing(self) -> bool:
        """Whether it asks for a key that was not given."""
        return self.rule == _RULES["missing"][0]

    def __str__(self) -> str:
        subject = f"{self.key}: " if self.key else ""
        got = f"; got {self.got}" if self.got else ""
        return f"{subject}{self.rule}{got}{'. ' + self.advice if self.advice else ''}"

    def below(self, key: str) -> Refusal:
        """The same refusal, with a key relative to the section above."""
        return Refusal(self.rule, got=self.got, advice=self.advice, key=f"{key}.{self.key}" if self.key else key)


def first_refusal(error: ValidationError) -> Refusal:
    """Return the first of a validation's errors, its key taken from the place pydantic reports."""
    detail = error.errors(include_url=False)[0]
    return refusal_of(detail).below(".".join(str(part) for part in detail["loc"]))


def refusal_of(detail: Mapping[str, Any]) -> Refusal:
    """Put one entry of `ValidationError.errors()` into words; its key is relative to the entry's own place."""
    raised = detail.get("ctx", {}).get("error")
    if isinstance(raised, Refusal):
        return raised
    rule, advice = _in_words(str(detail["type"]), detail.get("ctx", {}), str(detail["msg"]))
    got = "" if detail["type"] == "missing" else written(detail["input"])
    example = _EXAMPLES.get(str(detail["loc"][-1])) if detail["loc"] else None
    if example is not None and (detail["type"] == "missing" or (rule, advice) == _SECTION):
        advice = f"Write it like {detail['loc'][-1]}: {example}."
    near = _nearest_literal(detail)
    return Refusal(rule, got=got, advice=f"Did you mean {near}?" if near else advice)


def written(value: Any) -> str:
    """Write a value as a YAML file would, cut to a length that keeps the message on one line."""
    text = _written_whole(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def unknown_key(name: str, known: Iterable[str], *, hint: str = "") -> Refusal:
    """Refuse a key that is not one of `known`; `hint` replaces the nearest match where more is known about the slip."""
    names = list(known)
    near = nearest(name, names)
    advice = hint or (f"Did you mean {near}?" if near else "")
    return Refusal(_UNKNOWN, advice=f"{advice} Allowed: {', '.join(names)}.".strip())


def unknown_name(name: str, known: Iterable[object]) -> str:
    """Say that `name` is not one of `known`, with the nearest of them and the whole list."""
    names = [str(item) for item in known]
    near = nearest(name, names)
    return f"unknown name; {f'did you mean {near}? ' if near else ''}Allowed: {', '.join(names)}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name most like `name`: one that it stands for elsewhere (min for low), one that is its initials or
    whose initials it is (lr for learning_rate), or one with similar spelling; None if there is none.
    """
    names, lower = list(known), name.lower().replace("-", "_")
    alike = [
        *(known for known in names if lower == known or lower in _SYNONYMS.get(known, ())),
        *(known for known in names if known == _initials(lower) or lower == _initials(known)),
        *get_close_matches(lower, names, n=1, cutoff=0.5),
    ]
    return alike[0] if alike else None


def _initials(name: str) -> str:
    words = name.split("_")
    return "".join(word[:1] for word in words) if len(words) > 1 else ""


def _written_whole(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written_whole(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written_whole(item)}' for key, item in value.items())}}}"
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value) if isinstance(value, str) else str(value)


def _in_words(kind: str, ctx: Mapping[str, Any], message: str) -> tuple[str, str]:
    simple = _RULES.get(kind)
    if simple is not None:
        rule, advice = simple
        names = ", ".join(_names(ctx)) if "expected" in ctx else ""
        return rule.format(**ctx, names=names), advice
    return message[:1].lower() + message[1:], "Change it."


_NUMBER = ("must be a number", "Write it without quotes.")
_WHOLE = ("must be a whole number", "Write it without quotes and without a fraction.")
_TEXT = ("must be text", "Put it in quotes.")
_SECTION = ("must be a mapping of keys and values", "Indent its keys below it.")
_RULES: dict[str, tuple[str, str]] = {
    "missing": ("is required", "Add it."),
    "bool_parsing": ("must be true or false", "Write true or false."),
    "bool_type": ("must be true or false", "Write true or false."),
    "int_parsing": _WHOLE,
    "int_parsing_size": ("is too large for a number here", "Choose a smaller one."),
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": ("must be a finite number", "Choose another value."),
    "string_type": _TEXT,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "dict_type": _SECTION,
    "tuple_type": ("must be a list", "Write each entry on a line of its own, after '- '."),
    "too_short": ("must have at least one entry", "Add one."),
    "literal_error": ("must be one of {names}", "Choose one of them."),
    "greater_than": ("must be above {gt:g}", "Choose a larger value."),
    "greater_than_equal": ("must be at least {ge:g}", "Choose a larger value."),
    "less_than": ("must be below {lt:g}", "Choose a smaller value."),
    "less_than_equal": ("must be at most {le:g}", "Choose a smaller value."),
    "multiple_of": ("must be a multiple of {multiple_of:g}", "Round it."),
}


def _nearest_literal(detail: Mapping[str, Any]) -> str | None:
    if detail["type"] != "literal_error" or not isinstance(detail["input"], str):
        return None
    return nearest(detail["input"], _names(detail["ctx"]))


def _names(ctx: Mapping[str, Any]) -> list[str]:
    """The values of a Literal, which pydantic gives as one text: 'a', 'b' or 'c'."""
    return str(ctx["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
