"""The runs of a sweep: composing and checking them all, and what Hydra gets back for each."""

from __future__ import annotations

import contextlib
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from avatarl.composition.errors import describe_error, is_about_words
from avatarl.composition.run import control_of, identify, resolve
from avatarl.composition.search import Searched
from avatarl.composition.steering import objective
from avatarl.errors import ConfigError, UserError
from avatarl.names import check_name, shared_words
from avatarl.runs import journal
from avatarl.search.settings import Aim
from avatarl.sweep.outcome import SweepOutcome
from avatarl.sweep.plan.planned import Candidate, PlannedRun, data_key
from avatarl.sweep.plan.request import SweepRequest

if TYPE_CHECKING:
    from avatarl.config import RunConfig
    from avatarl.data import Corpus

#: Bad combinations that are listed one by one.
_MOST_LISTED = 20
#: Keys of the sweep, about which is complained once.
OF_ALL = ("search.", "optimized_metric", "hydra.sweeper.")


class Composer:
    """Composes the configurations of a sweep, each choice of options only once.

    Hydra reads and merges all YAML files for every job. Jobs that choose the same options differ
    in values alone, which are laid over a copy of the first one's configuration; the result is
    what Hydra would compose.

    Args:
        hydra_context: Holds Hydra's loader.
        config: The sweep's own configuration, as Hydra hands it to a launcher.
    """

    def __init__(self, hydra_context: HydraContext, config: DictConfig) -> None:
        self._loader = hydra_context.config_loader
        self._config = config
        self._parser = OverridesParser.create(config_loader=self._loader)
        self._bases: dict[tuple[str, ...], bytes] = {}
        self._is_group: dict[str, bool] = {}
        self._parsed: dict[str, Override] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose one job.

        Raises:
            HydraException: An override can't be used.
        """
        parsed = [self._parse(override) for override in overrides]
        values = [override for override in parsed if self._sets_a_value(override)]
        keys = [f"{override.key_or_group}." for override in values]
        others = [override for override in parsed if not self._sets_a_value(override)]
        if any(
            key.startswith(f"{other.key_or_group}.") or f"{other.key_or_group}.".startswith(key)
            for other in others
            if not self._chooses(other)
            for key in keys
        ):
            values, others = [], parsed  # both touch the same key, so their order counts
        base = tuple(str(override.input_line) for override in others)
        if base not in self._bases:
            self._bases[base] = pickle.dumps(self._load(base))
        config: DictConfig = pickle.loads(self._bases[base])
        for override in values:
            _set(config, override)
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.task = list(overrides)
        return config

    def _parse(self, override: str) -> Override:
        if override not in self._parsed:
            [self._parsed[override]] = self._parser.parse_overrides([override])
        return self._parsed[override]

    def _chooses(self, override: Override) -> bool:
        """Whether an override picks an option of a group."""
        group = override.key_or_group
        if group not in self._is_group:
            # The loader doesn't look where hydra.searchpath points; what was chosen is known.
            chosen = group in self._config.hydra.runtime.choices
            self._is_group[group] = chosen or bool(self._loader.get_group_options(group))
        return self._is_group[group]

    def _sets_a_value(self, override: Override) -> bool:
        """Whether an override gives a key another value: ``key=value``, nothing added or deleted.

        ``key@package`` isn't one either: Hydra shall say what is wrong with it.
        """
        changes_keys = override.is_add() or override.is_force_add() or override.is_delete()
        return not (changes_keys or override.package is not None or self._chooses(override))

    def _load(self, overrides: Sequence[str]) -> DictConfig:
        config = self._loader.load_sweep_config(self._config, list(overrides))
        # A job's own overrides would name another sweep, and Hydra composes it as a single run.
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.sweep.dir = str(self._config.hydra.sweep.dir)
            config.hydra.mode = RunMode.MULTIRUN
        return config


def _set(config: DictConfig, override: Override) -> None:
    # Hydra does the same, in a private function, and words its errors so.
    try:
        OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    except (ConfigAttributeError, ConfigKeyError) as error:
        raise ConfigCompositionException(
            f"Could not override '{override.key_or_group}'."
            f"\nTo append to your config use +{override.input_line}"
        ) from error
    except OmegaConfBaseException as error:
        raise ConfigCompositionException(f"Error merging override {override.input_line}") from error


def compose_all(
    composer: Composer,
    combinations: Sequence[Sequence[str]],
    directory: Path,
    *,
    control: bool,
    later_batch: bool,
    multirun: str = "",
    shared: Sequence[str] = (),
) -> SweepRequest:
    """Compose, check and identify every combination; nothing is written.

    Args:
        composer: Of this sweep.
        combinations: Overrides of each run.
        directory: The sweep's.
        control: Whether each run is to have its matched control.
        later_batch: The sweeper has launched earlier batches of this sweep.
        multirun: What is to be kept of the command.
        shared: Overrides that tell no run from others that are still to come.

    Raises:
        UserError: Names every combination that can't be run.
    """
    check_name("hydra.sweep.dir", directory.name)
    candidates: list[Candidate] = []
    wrong: list[str] = []
    corpora: dict[str, Corpus] = {}
    of_all = shared_words(combinations) | {*shared}
    searched = Searched()
    for overrides in combinations:
        try:
            composed = composer.compose(overrides)
            config = resolve(composed)
            identity, corpus = identify(config)
            rungs = searched.rungs(composed, config, corpus)
        except Exception as error:
            once = isinstance(error, ConfigError) and error.key.startswith(OF_ALL)
            if once or not is_about_words(error):
                raise
            distinctive = " ".join(word for word in overrides if word not in of_all)
            wrong.append(f"{distinctive or 'each'}: {describe_error(error, overrides)}")
            continue
        corpora.setdefault(data_key(config.raw), corpus)
        candidates.append(_candidate(tuple(overrides), config, identity, rungs))
    if wrong:
        raise UserError(refusal(wrong, len(combinations)))
    first = next(iter(corpora.values()))
    return SweepRequest(
        directory=directory,
        candidates=candidates,
        corpus={
            "name": first.name,
            "sha256": first.text_sha256,
            "fallback_reason": first.fallback_reason,
        },
        corpora=corpora,
        control=_matched_control if control else None,
        later_batch=later_batch,
        multirun=multirun,
        search=searched.rules,
        shared=of_all,
    )


def _candidate(
    overrides: tuple[str, ...], config: RunConfig, identity: str, rungs: tuple[int, ...] = ()
) -> Candidate:
    from avatarl.config import structure_key

    return Candidate(overrides, config.raw, identity, structure_key(config), rungs)


def _matched_control(candidate: Candidate) -> Candidate:
    from avatarl.config import parse

    control = control_of(parse(candidate.config))
    return _candidate(candidate.overrides, control, identify(control)[0])


def refusal(wrong: Sequence[str], total: int) -> str:
    """One line for one bad combination; for several, a list."""
    if len(wrong) == 1:
        return wrong[0]
    listed = wrong[:_MOST_LISTED]
    more = [f"  … and {len(wrong) - len(listed)} more"] if len(wrong) > len(listed) else []
    head = f"{len(wrong)} of {total} combinations can't be run; nothing was started:"
    return "\n".join([head, *(f"  {line}" for line in listed), *more])


class RunFailed(RuntimeError):
    """The return value of a run that failed; the message is its reason."""


def job_return(
    config: DictConfig | None,
    overrides: Sequence[str],
    run: PlannedRun,
    outcome: SweepOutcome,
    aim: Aim | None = None,
) -> JobReturn:
    """What Hydra's sweepers want to know about a job; its value is that of what steers them.

    Of a run that was put down, it is the last that was logged.

    Raises:
        ConfigError: The run has logged no such metric.
    """
    ended = outcome.outcomes[run.id]
    done = ended.state in ("done", "paused")
    value = math.nan
    if done and aim is not None:
        value = objective(ended.result or journal.latest(run.folder.journal), aim)
    hydra_config = None
    if config is not None:
        with open_dict(config):
            hydra_config = OmegaConf.create({"hydra": config.pop("hydra")})
    return JobReturn(
        overrides=list(overrides),
        cfg=config,
        hydra_cfg=hydra_config,
        working_dir=str(run.path),
        task_name=run.name,
        status=JobStatus.COMPLETED if done else JobStatus.FAILED,
        _return_value=value if done else RunFailed(ended.reason or ended.state),
    )


def forget_unless_planned(directory: Path, words: Sequence[str]) -> None:
    """Remove what Hydra's own sweepers write before anything is checked, unless a sweep came of it.

    What another client puts there stays.

    Args:
        directory: The sweep's.
        words: As this process's command has them.
    """
    note = directory / "multirun.yaml"
    with contextlib.suppress(OSError):
        if [path.name for path in directory.iterdir()] != [note.name]:
            return
        typed = OmegaConf.select(OmegaConf.load(note), "hydra.overrides.task", default=[])
        if {*typed} <= {*words}:
            note.unlink()
            for folder in (directory, directory.parent, directory.parent.parent):
                folder.rmdir()
