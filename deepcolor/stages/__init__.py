"""What a stage, a kind of training, says of itself (`contract`), what it trains with (`session`), and how it is found
by its name (`finding`). All that a stage of one's own needs can be imported from here.
"""

from pydantic import Field

from deepcolor.fields.objective import Nearest
from deepcolor.stages.contract import Stage
from deepcolor.stages.files import digest_of_files
from deepcolor.stages.sections import DataSection, InitSection, ModelSection, TrainingSection
from deepcolor.stages.session import Arrays, InitWeights, Job, Measured, Result, SavedModel, Session, Size

__all__ = [
    "Arrays",
    "DataSection",
    "Field",
    "InitSection",
    "InitWeights",
    "Job",
    "Measured",
    "ModelSection",
    "Nearest",
    "Result",
    "SavedModel",
    "Session",
    "Size",
    "Stage",
    "TrainingSection",
    "digest_of_files",
]
