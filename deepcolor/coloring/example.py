"""A small input for a served model."""

from __future__ import annotations

import base64
import io

import pandas as pd
from PIL import Image

_SIDE_PX = 64


def example_input() -> pd.DataFrame:
    """Return one small grey picture in the form a server is sent it: PNG in base64."""
    ramp = bytes(4 * (row + column) // 2 for row in range(_SIDE_PX) for column in range(_SIDE_PX))
    file = io.BytesIO()
    Image.frombytes("L", (_SIDE_PX, _SIDE_PX), ramp).save(file, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode()]})
