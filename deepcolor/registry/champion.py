"""Which model is meant where nobody names one."""

from __future__ import annotations

from deepcolor.errors import ModelError
from deepcolor.printable import shown_uri
from deepcolor.registry.versions import painters


def the_champion(tracking_uri: str) -> str:
    """Return the reference of the champion that colours pictures, where there is one alone.

    Which of several is meant nobody can tell: one that was trained on fruit paints a face orange.

    Raises:
        ModelError: There is none, or there are several; the message lists them with their data sets.
        TrackingError: The store cannot be read.
    """
    champions = painters(tracking_uri)
    if not champions:
        raise ModelError(
            f"model: there must be a champion that colours pictures; got none ({shown_uri(tracking_uri)}). "
            "Promote a colorizer or a transfer first (deepcolor promote STUDY), or name a model with --model."
        )
    if len(champions) > 1:
        got = ", ".join(f"{v.line}@champion (trained on {v.data or 'an unknown data set'})" for v in champions)
        raise ModelError(
            f"model: must be named where several champions can colour; got {got}. "
            "Choose the one whose data is most like your pictures: --model, or model=... in Python."
        )
    return f"{champions[0].line}@champion"
