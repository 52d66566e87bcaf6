"""What the parts of one step hand to each other: tensors with names, nothing else.

Shapes: B windows, T scored positions of a window (1, or the whole window), K explored actions a
position, V vocabulary. Probabilities and rewards are float32, characters int64.
"""

from avatarl.interfaces.batch import Batch
from avatarl.interfaces.bounds import LARGEST, LARGEST_LOG_RATIO, LEAST_PROPOSAL
from avatarl.interfaces.exploration import (
    Exploration,
    Regularisers,
    RewardInputs,
    mean_over_positions,
)
from avatarl.interfaces.hyperparameters import (
    Coefficient,
    Hyperparameters,
    Schedule,
    check_order,
    current,
    dynamic_values,
    ends,
    hyperparameters_of,
    is_on,
    over_a_run,
    scoped,
)
from avatarl.interfaces.opaque import opaque

__all__ = [
    "LARGEST",
    "LARGEST_LOG_RATIO",
    "LEAST_PROPOSAL",
    "Batch",
    "Coefficient",
    "Exploration",
    "Hyperparameters",
    "Regularisers",
    "RewardInputs",
    "Schedule",
    "check_order",
    "current",
    "dynamic_values",
    "ends",
    "hyperparameters_of",
    "is_on",
    "mean_over_positions",
    "opaque",
    "over_a_run",
    "scoped",
]
