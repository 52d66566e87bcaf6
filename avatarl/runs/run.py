"""One run as its files tell it, for whoever compares runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarl.runs import journal
from avatarl.runs.find import Source
from avatarl.runs.flatten import flatten
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.runs.result import SCHEMA
from avatarl.runs.state import RunState, RunStatus, status_of
from avatarl.runs.stride import usual_stride


@dataclass(frozen=True)
class Run:
    """What the files of one run say.

    Attributes:
        state: What has become of it.
        config: The resolved configuration, flat, with dotted keys.
        result: ``result.json`` if the run is done, else empty.
        latest: Newest metrics of a run that isn't done.
        share: How much of the run is done, 0 to 1; None where nobody knows.
        reason: Why a run failed, in one line.
        code: sha256 of the code that ran, empty where unknown.
        track: ``label_revealing`` or ``bandit``, either with ``_adaptive``; empty where unknown.
    """

    folder: RunFolder
    run_id: str
    name: str
    state: RunState
    config: Mapping[str, Any]
    nested: Mapping[str, Any]
    result: Mapping[str, Any]
    latest: Mapping[str, Any]
    share: float | None
    step: int | None
    reason: str
    corpus: str
    corpus_sha256: str
    code: str
    track: str
    is_control: bool
    sweep: str | None
    problems: tuple[str, ...] = field(default=())

    @property
    def directory(self) -> Path:
        """Where the run is."""
        return self.folder.path

    @property
    def seed(self) -> Any:
        """The run's seed, None where its configuration is lost."""
        return self.config.get("seed")

    @property
    def done(self) -> bool:
        """Whether the run ended well; only such runs are ever averaged."""
        return self.state is RunState.DONE

    @property
    def own_stride(self) -> int | None:
        """The stride that held-out text is cut by, where it isn't the usual one of the context.

        Figures at another stride are of predictions from less context, or more.
        """
        stride = self.config.get("trainer.eval_stride")
        length = self.config.get("model.context_length")
        if not isinstance(stride, int) or not isinstance(length, int):
            return None
        return None if stride == usual_stride(length) else stride

    def describe_state(self) -> str:
        """Return the state for people, for instance ``running at 45 %``."""
        if self.state in (RunState.DONE, RunState.NEW, RunState.QUEUED) or self.share is None:
            return str(self.state)
        return f"{self.state} at {self.share:.0%}".replace("%", " %")

    def number(self, metric: str) -> float | None:
        """Return a result's metric as a finite number, None where there is none."""
        value = self.result.get(metric)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if value - value == 0 else None


def read_run(source: Source) -> Run:
    """Read the small files of a run (not its journal, but for the tail of an unfinished one's)."""
    folder, planned = source.folder, source.planned or {}
    problems: list[str] = []
    status = status_of(folder, problems=problems)
    result: Mapping[str, Any] = status.result or {}
    provenance = {} if result else folder.read_provenance(problems)
    nested = _config(folder, planned, problems)
    header = {} if result else journal.read_header(folder.journal)
    latest = {} if result else journal.latest(folder.journal)
    _check_schema(folder, result, problems)
    began = status.state is not RunState.NEW
    if began and not (status.state is RunState.FAILED and not folder.journal.exists()):
        running = status.state is RunState.RUNNING
        problems += journal.quick_problems(folder.journal, running=running)
    step, share = _share(status, latest, nested)
    corpus = source.corpus or {}
    identity = folder.path.name.rpartition("-")[2]
    known = {**provenance, **header, **{k: v for k, v in result.items() if v is not None}}
    sha256 = str(known.get("corpus_sha256") or corpus.get("sha256") or "")
    name = known.get("name") or planned.get("name") or nested.get("name") or folder.path.name
    return Run(
        folder=folder,
        run_id=str(known.get("run_id") or planned.get("id") or identity),
        name=str(name),
        state=status.state,
        config=flatten(nested),
        nested=nested,
        result=result,
        latest=latest,
        share=share,
        step=step,
        reason=_reason(status),
        corpus=str(known.get("corpus") or corpus.get("name") or _stored_name(folder, sha256)),
        corpus_sha256=sha256,
        code=str(known.get("code_sha256") or ""),
        track=str(known.get("track") or planned.get("track") or ""),
        is_control=bool(
            known.get("is_control") or planned.get("is_control") or _is_control(nested)
        ),
        sweep=source.sweep,
        problems=tuple(problems),
    )


def _stored_name(folder: RunFolder, sha256: str) -> str:
    """Return what the text is called that lies beside the runs, for a run that doesn't say yet."""
    corpora = Outputs(folder.path.parent.parent).corpora
    found = next(corpora.glob(f"{sha256}-*.json"), None) if sha256 else None
    return "" if found is None else found.stem.partition("-")[2]


def _is_control(nested: Mapping[str, Any]) -> bool:
    objective = nested.get("objective")
    if not isinstance(objective, Mapping):
        return False
    return bool(objective.get("kind", objective.get("name")) == "cross_entropy")


def _config(
    folder: RunFolder, planned: Mapping[str, Any], problems: list[str]
) -> Mapping[str, Any]:
    config = folder.read_config(problems)
    if config:
        return config
    if isinstance(planned.get("config"), Mapping):
        return dict(planned["config"])
    if not problems:
        problems.append(f"{folder.config} is missing: its keys are shown as unknown")
    return {}


def _check_schema(folder: RunFolder, result: Mapping[str, Any], problems: list[str]) -> None:
    if not result:
        return
    schema = result.get("schema", 0)
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        problems.append(
            f"{folder.result} has schema {schema!r}, written by "
            f"{'a newer' if newer else 'an older'} version (this one writes {SCHEMA}); "
            "what both share is shown"
        )


def _share(
    status: RunStatus, latest: Mapping[str, Any], nested: Mapping[str, Any]
) -> tuple[int | None, float | None]:
    """Return the step that a run has reached, and how much of it is done."""
    progress = status.progress
    told = (
        progress.step if progress and progress.steps else None,
        latest.get("step"),
        status.failure.step if status.failure else None,
    )
    step = next((value for value in told if isinstance(value, int)), None)
    trainer = nested.get("trainer")
    planned = trainer.get("steps") if isinstance(trainer, Mapping) else None
    steps = progress.steps if progress and progress.steps else planned
    if step is None or not isinstance(steps, int) or steps < 1:
        return step, None
    return step, min(1.0, step / steps)


def _reason(status: RunStatus) -> str:
    if status.state is not RunState.FAILED:
        return ""
    return status.reason or "no reason was left"
