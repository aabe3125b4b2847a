"""How figures, durations and settings read in what the commands print."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepcolor.config.schema import ParamValue

_PLAIN_FROM, _PLAIN_TO = 1e-3, 1e9


def value_text(value: float | None) -> str:
    """An objective's value with four digits; '-' if there is none."""
    if value is None:
        return "-"
    return "diverged" if math.isinf(value) else figure_text(value)


def figure_text(value: float | None) -> str:
    """A measured figure as a person would write it: 0.95, 2.123, 1,652, 6.100e-04; '-' if there is none."""
    if value is None:
        return "-"
    if not _is_plain(value):
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def plus_minus(mean: float, std: float) -> str:
    """A mean and its standard deviation: 0.95 ± 0.012, 6.100e-04 ± 2.0e-05; the mean alone where there is no other."""
    if not math.isfinite(std):
        return value_text(mean)
    plain = f"{std:.2g}"
    return f"{value_text(mean)} ± {plain if _is_plain(mean) and 'e' not in plain else f'{std:.1e}'}"


def _is_plain(value: float) -> bool:
    return value == 0 or _PLAIN_FROM <= abs(value) < _PLAIN_TO


def params_line(params: Mapping[str, ParamValue]) -> str:
    """A setting in one line, each name in full."""
    return " ".join(f"{name}={param_text(value)}" for name, value in params.items())


def param_text(value: ParamValue) -> str:
    """A parameter's value as a user would write it."""
    if isinstance(value, float) and not isinstance(value, bool):
        text = f"{value:.4g}"
        return text.replace("e-0", "e-").replace("e+0", "e")
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def duration(seconds: float) -> str:
    """A duration in the two units that matter: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent(share: float) -> str:
    """A share as a whole percentage."""
    return f"{100 * share:.0f} %"


def size(count_bytes: float) -> str:
    """A number of bytes in the unit that fits: 512 B, 3.2 kB, 45 MB, 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" or count_bytes >= 10 else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"
