"""Training: the step, the loop around it, and what a run looks at and leaves behind."""

from avatarl.runs.progress import Progress
from avatarl.runs.result import Result
from avatarl.training.endings import Interrupted
from avatarl.training.entry import execute, execute_raw

__all__ = ["Interrupted", "Progress", "Result", "execute", "execute_raw"]
