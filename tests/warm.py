"""What every command does before its work, done once: in the server that the tests' commands are forked from."""

from __future__ import annotations

import atexit
import gc
import importlib
import pkgutil

from optuna.storages import RDBStorage
from sqlalchemy.orm import configure_mappers

import deepcolor
from deepcolor.registry.package import source_archive

for _module in pkgutil.walk_packages(deepcolor.__path__, "deepcolor."):
    if not _module.name.endswith(".__main__"):
        importlib.import_module(_module.name)

# Optuna imports its tables with its first database, and SQLAlchemy connects each library's tables with its first query.
_storage = RDBStorage("sqlite://")
_storage.remove_session()
_storage.engine.dispose()
del _storage
configure_mappers()
source_archive()  # Packed once a process.

# Nothing of all this is ever garbage: a search for it would only copy every page into each process that makes it.
gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # torch's bindings complain of what is left at the end.
