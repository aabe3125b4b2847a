"""`deepcolor studies NAME --write-sweep FILE`: the sweep that a study holds, as a file to go on with."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from deepcolor.cli import console
from deepcolor.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from deepcolor.search.study.storage import StudyStorage

PRINTED = Path("-")


def write_sweep(storage: StudyStorage, name: str | None, file: Path) -> None:
    """Write the sweep that a study holds now into a new file, or print it where the file is `-`.

    Raises:
        StudyError: No study is named, or there is none of this name.
        ConfigError: The file exists, or cannot be written.
    """
    if name is None:
        raise StudyError("--write-sweep: needs the name of a study. Name one, or list them with: deepcolor studies")
    text = storage.load(name).file_text()
    if file == PRINTED:
        console.result(text.rstrip(), {"study": name, "sweep": text})
        return
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise ConfigError(f"--write-sweep: must be a new file; got {file}, which exists. Name another one.") from None
    except OSError as error:
        raise ConfigError(
            f"--write-sweep: must be a file that can be written; got {file} ({error.strerror}). Name another one."
        ) from error
    said = f"the sweep of {name} is in {file}; go on with: deepcolor sweep {quote(str(file))}"
    console.result(said, {"study": name, "file": str(file)})
