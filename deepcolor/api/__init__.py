"""deepcolor from Python: what its commands do as functions, and a study to look at.

    import deepcolor

    study = deepcolor.sweep("experiments/quick-regressor.yaml")
    study.trials()
    study.promote()

A script that uses worker processes, as it does by default, must be guarded by `if __name__ == "__main__":`, for every
one of them imports it; `executor="serial"` trains in the script's own process.
"""

from deepcolor.api.keeping import delete, list_studies, rename, sync
from deepcolor.api.pictures import draw, prepare
from deepcolor.api.registered import export, list_models, promote, pull, rollback, serve
from deepcolor.api.searching import pipeline, plan, submit, sweep
from deepcolor.app.how import Cluster, SlurmProfile
from deepcolor.notebook import in_kernel, without_widgets
from deepcolor.study import Study, open_study

__all__ = [
    "Cluster",
    "SlurmProfile",
    "Study",
    "delete",
    "draw",
    "export",
    "list_models",
    "list_studies",
    "open_study",
    "pipeline",
    "plan",
    "prepare",
    "promote",
    "pull",
    "rename",
    "rollback",
    "serve",
    "submit",
    "sweep",
    "sync",
]

if in_kernel():
    without_widgets()
