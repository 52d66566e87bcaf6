"""What a run tells of itself: its journal, the tracker, its progress, its result or its failure."""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.errors import in_short
from avatarl.files import write_atomic
from avatarl.model import parameter_count
from avatarl.reference.levels import ngram_levels
from avatarl.runs.folder import RunFolder
from avatarl.runs.identity import id_schema
from avatarl.runs.journal import INDEX, JournalWriter, read
from avatarl.runs.ownership import Claim, ClaimLost
from avatarl.runs.progress import Progress
from avatarl.runs.result import SCHEMA, Result
from avatarl.runs.stride import least_context, usual_stride
from avatarl.tracking import provenance
from avatarl.tracking.base import Ending
from avatarl.tracking.tracker import Tracker
from avatarl.training.endings import Interrupted
from avatarl.training.evaluation import INFINITE_WHEN
from avatarl.training.health import Alarm
from avatarl.training.learner import Learner
from avatarl.training.run_log import RunLog
from avatarl.training.sampling import sample_texts

log = logging.getLogger("avatarl")
ALARMS = logging.getLogger("avatarl.alarms")

_PROGRESS_EVERY_S = 2.0


class Recording:
    """Writes down a run, from the step that its learner has reached on.

    Args:
        claim: On the run's folder.
        identity: Its id.
        learner: Its learner.
        corpus: Its text.
        run_log: Its own log, open.
        on_progress: Told about each logged step.
        release: Gives the claim back, saying how the attempt ended; None leaves that to others.
    """

    def __init__(
        self,
        claim: Claim,
        identity: str,
        learner: Learner,
        corpus: Corpus,
        run_log: RunLog,
        on_progress: Callable[[Progress], None] | None,
        release: Callable[[str, str | None], None] | None,
    ) -> None:
        self._claim, self._release = claim, release
        self.folder, self.run_log, self._identity = claim.folder, run_log, identity
        folder = claim.folder
        self._config, self._corpus, self._learner = learner.config, corpus, learner
        self._on_progress = on_progress
        # The newest value of each metric.
        self._metrics: dict[str, float | None] = {}
        # Why those that are null are null.
        self._undefined: dict[str, str] = {}
        self._last_progress = time.monotonic()
        config = self._config
        where = provenance.provenance(corpus.text_sha256, str(learner.device))
        folder.describe(config.raw, where)
        header = {
            "run_id": identity,
            "name": config.name,
            "corpus_sha256": corpus.text_sha256,
            "track": config.track,
        }
        resumed = learner.step or None
        self._journal = JournalWriter(folder.journal, header, resumed, folder.stamp)
        history = read(folder.journal)[1] if resumed else []
        self._concluded = any(record.get("event") == "final" for record in history)
        # What the result says of the last logged step may have been logged by an earlier attempt.
        for record in history:
            if "event" not in record:
                self._metrics.update((key, record[key]) for key in record if key not in INDEX)
        lost = (key for key, value in self._metrics.items() if value is None)
        self._undefined = dict.fromkeys(lost, "not finite, in an earlier attempt")
        self._tracker = Tracker.start(config.tracking, config.raw, identity, folder.path, history)

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Record figures of the latest step."""
        record = {**self._where(), **self._noted(metrics)}
        self._journal.write(record)
        self._tracker.log(self._learner.step, record)

    def event(self, kind: str, **values: Any) -> None:
        """Record something that happened, in the journal alone."""
        self._journal.write({**self._where(), "event": kind, **values})

    def alarm(self, alarm: Alarm, *, told: bool) -> None:
        """Record an alarm; ``told`` people as well, where that is wanted."""
        if told:
            ALARMS.warning("step %d: %s", self._learner.step, alarm)
        self.event(
            "alarm",
            alarm=alarm.name,
            state="raised" if alarm.raised else "cleared",
            fact=alarm.fact,
            value=alarm.value,
            threshold=alarm.threshold,
        )
        if told:
            self._tracker.alarm(str(alarm), alarm.raised)

    def rewind(self) -> None:
        """Drop what was recorded after the step that the learner went back to."""
        self._journal.rewind(self._learner.step)

    def progress(self, rate: float, *, logged: bool) -> None:
        """Tell how far the run has come: at logged steps, and to its folder now and then.

        Args:
            rate: Steps a second.
            logged: Whether the latest step is one of those that are logged.

        Raises:
            ClaimLost: Another process has taken the run over.
        """
        self._claim.check_now_and_then()
        if logged and self._on_progress is not None:
            self._on_progress(self._progress("running", rate))
        if time.monotonic() - self._last_progress >= _PROGRESS_EVERY_S:
            self._last_progress = time.monotonic()
            self.write_progress("running", rate)

    def write_progress(self, state: str, rate: float = 0.0) -> None:
        """Write to the run's folder how far it has come."""
        self.folder.write_progress(self._progress(state, rate))

    def final(self, metrics: Mapping[str, float]) -> None:
        """Record the figures of all held-out text.

        As an event: the curve is made of evaluations on one fixed sample of positions, and a point
        on others would be a kink in it.
        """
        noted = self._noted(metrics)
        if not self._concluded:  # by an attempt that ended before it had written the result
            self.event("final", **noted)

    def result(self, reliability: Mapping[str, list[float]]) -> Result:
        """Write samples and result.

        Args:
            reliability: Of all held-out text.
        """
        config, corpus, learner = self._config, self._corpus, self._learner
        samples = sample_texts(learner.headline, config, corpus, learner.device, learner.reads)
        shown = (f"--- temperature {one['temperature']} ---\n{one['text']}\n" for one in samples)
        write_atomic(self.folder.samples, "\n".join(shown))
        code = provenance.code()
        length, members = config.model.context_length, len(learner.state.members)
        stride = config.trainer.eval_stride or usual_stride(length)
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "id_schema": id_schema(),
            "run_id": self._identity,
            "name": config.name,
            "state": "done",
            "track": config.track,
            "feedback": config.explorer.track,
            "label_statistics": config.label_statistics,
            "is_control": config.objective.is_control,
            "corpus": corpus.name,
            "corpus_sha256": corpus.text_sha256,
            "corpus_fallback": corpus.fallback_reason,
            "notes": list(corpus.notes),
            "seed": config.seed,
            "parameters": parameter_count(learner.model),
            **({"members": members} if members > 1 else {}),
            "steps": learner.step,
            "characters_seen": learner.characters_seen,
            "epoch": round(learner.epoch, 6),
            "seconds": round(learner.state.elapsed_s, 3),
            **self._metrics,
            **({"undefined": self._undefined} if self._undefined else {}),
            "val/stride": stride,
            "val/least_context": least_context(length, stride),
            **learner.state.best,
            **learner.state.describe_headline(),
            "git_commit": code["git_commit"],
            "git_diff_sha256": code["git_diff_sha256"],
            "code_sha256": code["code_sha256"],
            "device": str(learner.device),
            "started": learner.state.started,
            "finished": now(),
            "alarms": learner.state.health.ever,
            "reliability": reliability,
            "samples": samples,
        }
        levels = ngram_levels(corpus.train, corpus.heldout, corpus.vocab_size)
        for name, level in levels.items():
            values[f"ngram/{name}/nats"] = level.nats
            values[f"ngram/{name}/accuracy"] = level.accuracy
        result = self.folder.write_result(values)
        self._tracker.summary(values)
        return result

    def failure(self, error: Exception) -> None:
        """Write down what ended the run, unless it is an interruption; let go of every file."""
        if isinstance(error, Interrupted):
            self.close(error.ended)
        elif isinstance(error, ClaimLost):  # it goes on elsewhere
            self.close("interrupted", in_short(error))
        else:
            with self.run_log.attended():
                write_failure(self.folder, self._config, self._identity, error)
            self.close("failed", in_short(error))

    def close(self, ended: Ending = "interrupted", reason: str | None = None) -> None:
        """Let go of every file, and of the run; harmless when repeated.

        Args:
            ended: How the attempt did.
            reason: Why, where nobody asked for it.
        """
        self._journal.close()
        with self.run_log.attended():
            self._tracker.finish(ended)
        self.run_log.close()
        if self._release is not None:
            release, self._release = self._release, None
            release(ended, reason)

    def _noted(self, metrics: Mapping[str, float]) -> dict[str, float | None]:
        """Take figures for the newest; those that aren't finite become null, with a reason."""
        for name, value in metrics.items():
            self._undefined.pop(name, None)
            if not math.isfinite(value):
                why = INFINITE_WHEN.get(name, f"at step {self._learner.step}")
                self._undefined[name] = f"{value}: {why}"
        noted = {name: None if name in self._undefined else metrics[name] for name in metrics}
        self._metrics.update(noted)
        return noted

    def _where(self) -> dict[str, Any]:
        return {
            "step": self._learner.step,
            "characters_seen": self._learner.characters_seen,
            "epoch": round(self._learner.epoch, 6),
            "time/elapsed_s": round(self._learner.state.elapsed_s, 3),
        }

    def _progress(self, state: str, rate: float) -> Progress:
        learner = self._learner
        return Progress(
            step=learner.step,
            steps=learner.steps,
            rate=rate,
            eta_s=(learner.steps - learner.step) / rate if rate > 0 else None,
            loss=self._metrics.get("train/loss"),
            nats=self._metrics.get("val/nats"),
            warnings=learner.state.health.warnings,
            metrics=dict(self._metrics),
            state=state,
            updated=time.time(),
            pid=os.getpid(),
            host=socket.gethostname(),
            device=str(learner.device),
        )


def write_failure(
    folder: RunFolder, config: RunConfig, identity: str, error: BaseException
) -> None:
    """Log what broke a run, and write it down in its folder."""
    trace = "".join(traceback.format_exception(error))
    log.error("%s", trace)
    # Whatever broke the run (a full disk, say) may break this too; the first error matters more.
    with contextlib.suppress(OSError, ClaimLost):
        told = f"{type(error).__name__}: {error}"
        folder.write_failure(identity, config.name, told, trace)


def now() -> str:
    """Return the time in UTC, to the second (ISO 8601)."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
