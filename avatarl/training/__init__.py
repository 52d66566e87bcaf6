"""Training: the pure step, the one loop around it, evaluation, health, checkpoints."""

from avatarl.training.ending import Interrupted
from avatarl.training.loop import execute, execute_raw
from avatarl.training.progress import Progress
from avatarl.training.result import Result

__all__ = ["Interrupted", "Progress", "Result", "execute", "execute_raw"]
