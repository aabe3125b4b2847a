"""What is used of Optuna's own workings, for which it has no public name. Each is looked at when a storage is opened:
where one is not as it is known here, all goes on in Optuna's public ways, only slower.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Engine

TABLES = "optuna.storages._rdb.models"
ENGINE = "engine"
"""Of a storage."""
MEMORY = "get_storage"
"""Of `optuna.storages`; its own functions call it with every storage they are given."""


def tables(known: Mapping[str, Collection[str]]) -> Any:
    """Return the module of Optuna's tables; None where one of them, or what is needed of it, is not there.

    Args:
        known: What is needed, by the class of the table.
    """
    try:
        models = importlib.import_module(TABLES)
    except ImportError:
        return None
    found = all(hasattr(getattr(models, model, None), name) for model, names in known.items() for name in names)
    return models if found else None


def whole_tables(known: Mapping[str, Collection[str]]) -> Any:
    """Return the module of Optuna's tables; None where one of them has other columns than these, more of them included.

    Args:
        known: All columns, by the class of the table.
    """
    models = tables(dict.fromkeys(known, ("__table__",)))
    if models is None:
        return None
    found = {model: set(getattr(models, model).__table__.columns.keys()) for model in known}
    return models if found == {model: set(columns) for model, columns in known.items()} else None


def engine_of(storage: RDBStorage) -> Engine | None:
    """Return a storage's connections to its database; None where they cannot be had."""
    engine = getattr(storage, ENGINE, None)
    return engine if isinstance(engine, Engine) else None


def with_memory(storage: RDBStorage) -> BaseStorage:
    """Return a storage with Optuna's own memory of what never changes; as it is, where there is none to be had."""
    wrap = getattr(optuna.storages, MEMORY, None)
    wrapped = wrap(storage) if callable(wrap) else None
    return wrapped if isinstance(wrapped, BaseStorage) else storage
