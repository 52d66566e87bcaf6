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

    On a terminal and in a notebook its progress is shown while it learns. An interrupt there lets
    it write a checkpoint first, and the same call continues it.

    Args:
        overrides: For instance ``["reward=confidence_scaled", "reference=ngram4", "seed=1"]``.

    Raises:
        avatarl.errors.UserError: Something asked for can't be used.
        KeyboardInterrupt: It was interrupted.
    """
    # Imported here so that ``avatarl status`` and friends start without torch and Hydra.
    import logging
    import signal

    from avatarl import composition, storage, terminal
    from avatarl.signals import catching
    from avatarl.sweep.workers import machine
    from avatarl.training import Interrupted, execute
    from avatarl.training.console import Console, watched

    config = composition.compose(overrides)
    for problem in machine.gpu_problems(config.trainer.device):
        logging.getLogger(__name__).warning("%s", problem)
    with storage.patient(storage.PATIENCE_S, Path(config.output_dir)):
        console = Console()
        if not terminal.redraws(console.rich):
            return execute(config)
        identity, corpus = composition.identify(config)
        with catching(signal.SIGINT) as stop:
            try:
                return watched(config, corpus, identity, stop, console)
            except Interrupted as interrupted:
                raise KeyboardInterrupt(f"{interrupted}; the same call continues it") from None


def sweep(overrides: Sequence[str] = (), *, config: str = "config") -> Runs:
    """Execute a sweep, as ``avatarl run -m OVERRIDES`` would, and return its runs.

    What is done already is found; a run that fails is among the runs, with its reason.

    Args:
        overrides: For instance ``["reference=bigram,trigram", "seed=0,1,2"]``.
        config: A sweep kept in a file, as ``-cn`` names it: ``"demo"``.

    Raises:
        avatarl.errors.UserError: Something asked for can't be used; nothing was written.
        KeyboardInterrupt: It was interrupted; the same call continues it.
    """
    from avatarl.composition.multirun import multirun

    return load_runs(multirun(overrides, config))


run_sweep = sweep  # under this name also where the package `avatarl.sweep` has taken the other


def load_runs(
    selection: str | Path | Iterable[str | Path] = (),
    *,
    where: str | Sequence[str] = (),
    output_dir: str | Path = "outputs",
) -> Runs:
    """Load finished and running runs; ``.table`` and ``.curves`` are their dataframes.

    Args:
        selection: A sweep, a run, a folder, a name, an id or a glob, or several of these;
            everything under ``output_dir`` by default.
        where: Filters as in ``avatarl compare --where``, all of which must hold.
        output_dir: The output directory that names and ids are looked up in.

    Raises:
        avatarl.errors.UserError: Nothing was found.
    """
    from avatarl.report.load import load_runs as load

    return load(selection, where=where, output_dir=output_dir)
