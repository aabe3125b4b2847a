"""Where the code of a registered model lies. No torch in here: a promotion only hands the path on."""

from __future__ import annotations

from pathlib import Path

MODEL_CODE = Path(__file__).parent / "pyfunc_model.py"
"""The file that MLflow runs to load a registered model."""
