"""Which models are served: the one by default, which moves with its alias, and the versions that a request may name."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepcolor.errors import ModelError
from deepcolor.models.description import DESCRIPTION_FILE, read_description
from deepcolor.registry.names import is_ref, parse_ref
from deepcolor.registry.pull import CARD_FILE, pull
from deepcolor.registry.versions import ModelVersion, list_versions, resolve, with_data

_MOST_KEPT = 8
"""Versions on the server's disk; the least recently used goes first, unless it is at work."""
_FRESH_S = 5.0
"""For how long a list of versions is taken for true, when a request names one."""


@dataclass(eq=False)
class Model:
    """A model that lies ready in a folder."""

    ref: str
    """What to call it: `colorizer@3`, or its folder's name."""
    version: str
    """The SHA-256 of its weights."""
    folder: Path
    _users: int = field(default=0, repr=False)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep its folder for the time of the block."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    @property
    def is_idle(self) -> bool:
        return self._users == 0

    @property
    def card(self) -> str:
        """Its model card, in Markdown; empty where it has none."""
        try:
            return (self.folder / CARD_FILE).read_text(encoding="utf-8")
        except OSError:
            return ""


class Models:
    """The models of one server. Its methods ask the registry and may take long: call them in a thread."""

    def __init__(self, named: str, *, tracking_uri: str, folder: Path) -> None:
        """Take the default model out of the registry.

        Args:
            named: A reference or a model folder.
            tracking_uri: The MLflow store.
            folder: Where versions are kept while they are served; empty.
        Raises:
            ModelError: There is no such model.
            CorruptFileError: Its weights do not match their checksum.
            TrackingError: The store cannot be reached.
        """
        self._named, self._uri, self._folder = named, tracking_uri, folder
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Model] = OrderedDict()
        self._versions: list[ModelVersion] = []
        self._listed_s = -_FRESH_S
        self._from_folder = (Path(named) / DESCRIPTION_FILE).is_file() or not is_ref(named)
        self._default = self._of_folder(Path(named)) if self._from_folder else self.moved() or self._none_yet()

    @property
    def default(self) -> Model:
        """The one that requests get which name none."""
        return self._default

    @property
    def follows(self) -> bool:
        """Whether the default can move: it was named by an alias."""
        return not self._from_folder and parse_ref(self._named).number is None

    def moved(self) -> Model | None:
        """Return the model that the alias stands for now, ready in a folder; None where that is the default still.

        Raises:
            ModelError: There is none any more, or it does not colour pictures.
            CorruptFileError: Its weights do not match their checksum.
            TrackingError: The store cannot be reached.
        """
        if self._from_folder:
            return None
        version = resolve(self._named, tracking_uri=self._uri)
        current: Model | None = getattr(self, "_default", None)
        if current is not None and current.ref == version.ref and current.version == version.weights_sha256:
            return None
        return self._ready(version)

    def make_default(self, model: Model) -> None:
        """Serve a model by default from now on; requests that have begun keep the one they began with."""
        self._default = model

    def named(self, ref: str | None) -> Model:
        """Return the model that a request asks for.

        Nothing of a user's own code is run because a request names it: such a model is served by default or not at all.

        Args:
            ref: Of a registered version that colours pictures: `colorizer@2`, `transfer@candidate`; None: the default.
        Raises:
            ModelError: There is no such version, or it is not served.
            TrackingError: The store cannot be reached.
        """
        default = self._default
        if ref is None or ref == default.ref:
            return default
        if self._from_folder:
            raise ModelError(f"model: must be {default.ref}, the one that is served here; got {ref!r}. Leave it out.")
        asked = parse_ref(ref)
        for version in self._fresh():
            if version.line == asked.line and (version.number == asked.number or asked.alias in version.aliases):
                if version.ref == default.ref:
                    return default
                if version.code:
                    raise ModelError(
                        f"model: must be one without code of its own, or the default; got {version.ref}. "
                        f"Serve it with: deepcolor serve {version.ref}"
                    )
                return self._ready(version)
        known = ", ".join(version.ref for version in self._fresh()) or "none"
        raise ModelError(f"model: must be one of {known}; got {ref!r}. Choose one of these.")

    def listed(self) -> list[dict[str, Any]]:
        """Return all versions that can be asked for, with what is known of them.

        Raises:
            TrackingError: The store cannot be reached.
        """
        default = self._default
        if self._from_folder:
            known = read_description(default.folder)
            return [_entry(default.ref, default=True, stage=known.stage, size_px=known.size_px, test=known.metrics)]
        return [
            _entry(
                version.ref,
                default=version.ref == default.ref,
                stage=version.stage,
                size_px=version.size_px,
                test=version.test,
                aliases=version.aliases,
                data=version.data,
                created_ms=version.created_ms,
            )
            for version in self._fresh()
            if not version.code or version.ref == default.ref
        ]

    def _fresh(self) -> list[ModelVersion]:
        with self._lock:
            if time.monotonic() - self._listed_s >= _FRESH_S:
                colouring = [version for version in list_versions(self._uri) if version.colours]
                self._versions = with_data(colouring, tracking_uri=self._uri)
                self._listed_s = time.monotonic()
            return self._versions

    def _ready(self, version: ModelVersion) -> Model:
        """Return a version in a folder, taken out of the registry unless it lies there already."""
        if not version.colours:
            raise ModelError(f"model: must be one that colours pictures; got {version.ref}, a {version.stage}.")
        with self._lock:
            key = version.weights_sha256
            if key not in self._kept:
                folder = self._folder / f"{key[:16]}-{version.number}"
                pull(version.ref, folder, tracking_uri=self._uri)
                self._kept[key] = Model(version.ref, key, folder)
                self._forget_some()
            self._kept.move_to_end(key)
            return self._kept[key]

    def _forget_some(self) -> None:
        import shutil

        default = getattr(self, "_default", None)
        for key, model in list(self._kept.items())[:-1]:
            if len(self._kept) <= _MOST_KEPT:
                return
            if model.is_idle and model is not default:
                del self._kept[key]
                shutil.rmtree(model.folder, ignore_errors=True)

    def _of_folder(self, folder: Path) -> Model:
        return Model(folder.resolve().name, read_description(folder).weights_sha256, folder.resolve())

    def _none_yet(self) -> Model:
        raise AssertionError("the first look at an alias always finds a model, or raises")


def _entry(ref: str, *, default: bool, **known: Any) -> dict[str, Any]:
    return {"model": ref, "default": default, **known}
