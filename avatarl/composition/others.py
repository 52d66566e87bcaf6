"""Sweeps by launchers that aren't ours: written down as ours are, and found by every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from avatarl.composition.errors import is_about_words
from avatarl.composition.run import identify, resolve
from avatarl.composition.sweep import Composer, compose_all
from avatarl.composition.words import group_of
from avatarl.errors import ConfigError
from avatarl.sweep.plan.planned import Candidate
from avatarl.sweep.plan.request import plan_sweep


def write_down(
    composer: Composer,
    combinations: Sequence[Sequence[str]],
    directory: Path,
    *,
    control: bool,
    later_batch: bool,
) -> list[Sequence[str]]:
    """Check all combinations, and write the sweep's plan.

    Args:
        composer: Of this sweep.
        combinations: Overrides of each run.
        directory: The sweep's.
        control: Whether the matched controls are to be launched too.
        later_batch: The sweeper has launched earlier batches of this sweep.

    Returns:
        What is to be launched: the combinations, and those of the controls.

    Raises:
        UserError: Some combination, or a control, can't be composed; nothing was written.
    """
    request = compose_all(
        composer, combinations, directory, control=control, later_batch=later_batch
    )
    controls: dict[str, Sequence[str]] = {}
    matched_to = request.control

    def matched(candidate: Candidate) -> Candidate:
        assert matched_to is not None
        control = matched_to(candidate)
        if control.id not in controls and control.id != candidate.id:
            controls[control.id] = _words(composer, candidate, control)
        return control

    plan = plan_sweep(replace(request, control=matched if matched_to else None))
    plan.write(directory)
    asked = {candidate.id for candidate in request.candidates}
    return [*combinations, *(words for run, words in controls.items() if run not in asked)]


def _words(composer: Composer, candidate: Candidate, control: Candidate) -> Sequence[str]:
    """Overrides that compose a control, from those of the run that it is the control of."""
    replaced = {"explorer", "reward", "objective", "name"}
    chosen = ["objective=cross_entropy", "reward=match", "explorer=exhaustive", "name=control"]
    chosen.append(f"explorer.positions={control.config['explorer']['positions']}")
    if not control.config["model"]["prior"]:
        replaced.add("reference")
        chosen.append("reference=none")
    kept = [word for word in candidate.overrides if group_of(word) not in replaced]
    words = [*kept, *chosen]
    try:
        if identify(resolve(composer.compose(words)))[0] == control.id:
            return words
    except Exception as error:
        if not is_about_words(error):
            raise
    raise ConfigError(
        "hydra.sweeper.control",
        True,
        "false, or hydra/launcher=local or slurm",
        f"its settings can't be typed as overrides of {' '.join(candidate.overrides) or 'nothing'}",
    )
