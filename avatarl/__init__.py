"""Can a language model learn to write from random weights by reward alone?

>>> import avatarl
>>> result = avatarl.run(["reward=confidence_scaled", "reference=ngram4"])  # doctest: +SKIP
>>> result["val/nats"]  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatarl.training import Result

__version__ = "0.1.0"


def run(overrides: Sequence[str] = ()) -> Result:
    """Execute one run, as ``python run.py OVERRIDES`` would, and return its result.

    Args:
        overrides: For instance ``["reward=confidence_scaled", "reference=ngram4", "seed=1"]``.

    Raises:
        avatarl.errors.UserError: Something asked for can't be used.
    """
    # Imported here so that ``avatarl status`` and friends start without torch and Hydra.
    from avatarl import composition
    from avatarl.training import execute

    return execute(composition.compose(overrides))


def load_runs(selection: Any) -> Any:
    """Load finished and running runs as dataframes; see :func:`avatarl.report.load_runs`."""
    from avatarl.report import load_runs

    return load_runs(selection)
