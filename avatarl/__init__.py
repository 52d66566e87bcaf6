"""Can a language model learn to write from random weights by reward alone?

>>> import avatarl
>>> result = avatarl.run(["reward=confidence_scaled", "reference=ngram4"])  # doctest: +SKIP
>>> result["val/nats"]  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avatarl.report.load import Runs
    from avatarl.training import Result

__version__ = "0.1.0"


def run(overrides: Sequence[str] = ()) -> Result:
    """Execute one run, as ``avatarl run OVERRIDES`` would, and return its result.

    Args:
        overrides: For instance ``["reward=confidence_scaled", "reference=ngram4", "seed=1"]``.

    Raises:
        avatarl.errors.UserError: Something asked for can't be used.
    """
    # Imported here so that ``avatarl status`` and friends start without torch and Hydra.
    import logging

    from avatarl import composition, storage
    from avatarl.sweep.workers import machine
    from avatarl.training import execute

    config = composition.compose(overrides)
    for problem in machine.gpu_problems(config.trainer.device):
        logging.getLogger(__name__).warning("%s", problem)
    with storage.patient(storage.PATIENCE_S, Path(config.output_dir)):
        return execute(config)


def load_runs(
    selection: str | Path | Iterable[str | Path] = (),
    *,
    where: str | Sequence[str] = (),
    outputs: str | Path = "outputs",
) -> Runs:
    """Load finished and running runs; ``.table`` and ``.curves`` are their dataframes.

    Args:
        selection: A sweep, a run, a folder, a name, an id or a glob, or several of these;
            everything under ``outputs`` by default.
        where: Filters as in ``avatarl compare --where``, all of which must hold.
        outputs: The output directory that names and ids are looked up in.

    Raises:
        avatarl.errors.UserError: Nothing was found.
    """
    from avatarl.report.load import load_runs as load

    return load(selection, where=where, outputs=outputs)
