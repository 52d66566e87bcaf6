"""Training: the pure step, the one loop around it, evaluation, health, checkpoints."""

from avatarl.runs.progress import Progress
from avatarl.runs.result import Result
from avatarl.training.ending import Interrupted
from avatarl.training.loop import execute, execute_raw

__all__ = ["Interrupted", "Progress", "Result", "execute", "execute_raw"]
