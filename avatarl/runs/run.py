"""One run as its files tell it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarl.runs import records
from avatarl.runs.flatten import flatten
from avatarl.runs.select import Source

#: The newest ``result.json`` this code knows.
SCHEMA = 1
#: A running run rewrites its progress every few seconds; after this long it is called stalled.
STALLED_AFTER_S = 120.0
NGRAM_LEVELS = ("unigram", "bigram", "trigram", "ngram4")


@dataclass(frozen=True)
class Run:
    """What the files of one run say.

    Attributes:
        state: ``done``, ``running``, ``stalled``, ``interrupted``, ``failed``, ``partial`` (files
            of a run that nobody says anything about) or ``queued`` (planned, not started).
        config: The resolved configuration, flat, with dotted keys.
        result: ``result.json`` if the run is done, else empty.
        latest: Newest metrics of a run that isn't done.
        share: How much of the run is done, 0 to 1; None where nobody knows.
        reason: Why a run failed, in one line.
        code: sha256 of the code that ran, empty where unknown.
        track: ``label_revealing`` or ``bandit``, empty where unknown.
    """

    directory: Path
    run_id: str
    name: str
    state: str
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
    def seed(self) -> Any:
        """The run's seed, None where its configuration is lost."""
        return self.config.get("seed")

    @property
    def done(self) -> bool:
        """Whether the run ended well; only such runs are ever averaged."""
        return self.state == "done"

    def describe_state(self) -> str:
        """Return the state for people, for instance ``running 45 %``."""
        if self.state in ("done", "queued") or self.share is None:
            return self.state
        return f"{self.state} at {self.share:.0%}".replace("%", " %")

    def number(self, metric: str) -> float | None:
        """Return a result's metric as a finite number, None where there is none."""
        value = self.result.get(metric)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if value - value == 0 else None


def read_run(source: Source, now: float | None = None) -> Run:
    """Read the small files of a run (not its journal, but for the tail of an unfinished one's)."""
    directory = source.directory
    problems: list[str] = []
    planned = source.planned or {}
    result = _read(directory / "result.json", problems)
    failure = {} if result else _read(directory / "failure.json", problems)
    progress = {} if result else _read(directory / "progress.json", problems)
    provenance = {} if result else _read(directory / "provenance.json", problems)
    nested = _config(directory, planned, problems)
    journal_path = directory / "metrics.jsonl"
    header = {} if result else records.read_header(journal_path)
    latest = {} if result else records.latest(journal_path)
    _check_schema(directory, result, problems)
    state = _state(directory, result, failure, progress, latest, now or time.time())
    if state != "queued" and not (state == "failed" and not journal_path.exists()):
        problems += records.quick_problems(journal_path, running=state == "running")
    step, steps = _steps(progress, latest, failure, nested)
    corpus = source.corpus or {}
    identity = directory.name.rpartition("-")[2]
    known = {**provenance, **header, **{k: v for k, v in result.items() if v is not None}}
    sha256 = str(known.get("corpus_sha256") or corpus.get("sha256") or "")
    return Run(
        directory=directory,
        run_id=str(known.get("run_id") or planned.get("id") or identity),
        name=str(known.get("name") or planned.get("name") or nested.get("name") or directory.name),
        state=state,
        config=flatten(nested),
        nested=nested,
        result=result,
        latest=latest,
        share=min(1.0, step / steps) if step is not None and steps else None,
        step=step,
        reason=_reason(failure) if state == "failed" else "",
        corpus=str(known.get("corpus") or corpus.get("name") or _stored_name(directory, sha256)),
        corpus_sha256=sha256,
        code=str(known.get("code_sha256") or ""),
        track=str(known.get("track") or planned.get("track") or ""),
        is_control=bool(
            known.get("is_control") or planned.get("is_control") or _is_control(nested)
        ),
        sweep=source.sweep,
        problems=tuple(problems),
    )


def _stored_name(directory: Path, sha256: str) -> str:
    """Return what the text is called that lies beside the runs, for a run that doesn't say yet."""
    corpora = directory.parent.parent / "corpora"
    found = next(corpora.glob(f"{sha256}-*.json"), None) if sha256 else None
    return "" if found is None else found.stem.partition("-")[2]


def _is_control(nested: Mapping[str, Any]) -> bool:
    objective = nested.get("objective")
    return isinstance(objective, Mapping) and objective.get("name") == "cross_entropy"


def _read(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        problems.append(f"{path} can't be read ({error}); valid: a JSON object")
        return {}
    if not isinstance(value, dict):
        problems.append(f"{path} holds {type(value).__name__}; valid: a JSON object")
        return {}
    return value


def _config(directory: Path, planned: Mapping[str, Any], problems: list[str]) -> Mapping[str, Any]:
    config = _read(directory / "config.json", problems)
    if config:
        return config
    if isinstance(planned.get("config"), Mapping):
        return dict(planned["config"])
    if not problems:
        problems.append(f"{directory / 'config.json'} is missing: its keys are shown as unknown")
    return {}


def _check_schema(directory: Path, result: Mapping[str, Any], problems: list[str]) -> None:
    if not result:
        return
    schema = result.get("schema", 0)
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        problems.append(
            f"{directory / 'result.json'} has schema {schema!r}, written by "
            f"{'a newer' if newer else 'an older'} version (this one writes {SCHEMA}); "
            "what both share is shown"
        )


def _state(
    directory: Path,
    result: Mapping[str, Any],
    failure: Mapping[str, Any],
    progress: Mapping[str, Any],
    latest: Mapping[str, Any],
    now: float,
) -> str:
    if result:
        state = str(result.get("state", "done"))
        return state if state in ("done", "failed") else "done"
    updated = progress.get("updated")
    fresh = isinstance(updated, int | float) and now - updated < STALLED_AFTER_S
    if progress.get("state") == "running" and (fresh or not failure):
        # A retried run leaves the old failure in place until it has succeeded.
        return "running" if fresh else "stalled"
    if failure:
        return "failed"
    if progress:
        return str(progress.get("state", "partial"))
    return "partial" if latest or (directory / "metrics.jsonl").exists() else "queued"


def _steps(
    progress: Mapping[str, Any],
    latest: Mapping[str, Any],
    failure: Mapping[str, Any],
    nested: Mapping[str, Any],
) -> tuple[int | None, int | None]:
    step: int | None = None
    for place in (progress, latest, failure):
        value = place.get("step")
        if isinstance(value, int):
            step = value
            break
    trainer = nested.get("trainer")
    planned = trainer.get("steps") if isinstance(trainer, Mapping) else None
    steps = progress.get("steps", planned)
    return step, steps if isinstance(steps, int) and steps > 0 else None


def _reason(failure: Mapping[str, Any]) -> str:
    told = str(failure.get("error") or "no reason was left").strip()
    return told.splitlines()[0] if told else "no reason was left"


def read_provenance(directory: Path) -> dict[str, Any]:
    """Return a run's ``provenance.json``, empty where there is none."""
    try:
        value = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
