"""What the parts of one step hand to each other: tensors with names, nothing else.

Shapes: B windows, T scored positions of a window (1, or the whole window), K explored actions a
position, V vocabulary. Probabilities and rewards are float32, characters int64.
"""

from avatarl.interfaces.coefficients import (
    Knobs,
    Policy,
    Schedule,
    check_at_least,
    current,
    is_on,
    knobs_of,
    moving_numbers,
    scoped,
)
from avatarl.interfaces.exploration import Anchors, Exploration, Outcome, mean_over_positions

__all__ = [
    "Anchors",
    "Exploration",
    "Knobs",
    "Outcome",
    "Policy",
    "Schedule",
    "check_at_least",
    "current",
    "is_on",
    "knobs_of",
    "mean_over_positions",
    "moving_numbers",
    "scoped",
]
