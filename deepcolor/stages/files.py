"""What names the content of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from deepcolor.errors import DataError


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return what names the content of files, in their order, in hex digits, for `Stage.data_digest`.

    Args:
        paths: The files; where they lie makes no difference.
    Raises:
        DataError: One cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"data: must be readable; got {error.strerror or error} ({path}).") from error
    return whole.hexdigest()
