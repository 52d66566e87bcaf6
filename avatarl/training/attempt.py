"""One attempt at a run: everything around the steps that its learner takes."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.model import parameter_count
from avatarl.reference.levels import ngram_levels
from avatarl.runs.folder import RunFolder
from avatarl.runs.identity import id_schema
from avatarl.runs.journal import JournalWriter, read
from avatarl.runs.progress import Progress
from avatarl.runs.result import SCHEMA, Result
from avatarl.tracking import provenance
from avatarl.tracking.tracker import Tracker
from avatarl.training import checkpoint
from avatarl.training.ending import (
    Diverged,
    Interrupted,
    Stopped,
    now,
    write_failure,
    write_samples,
)
from avatarl.training.evaluation import Evaluation, HeldOut, evaluate
from avatarl.training.health import Alarm
from avatarl.training.learner import Learner
from avatarl.training.run_log import RunLog
from avatarl.training.sparsity import update_facts

log = logging.getLogger("avatarl")
ALARMS = logging.getLogger("avatarl.alarms")

_PROGRESS_EVERY_S = 2.0


class Attempt:
    """A run from where it was left to where it ends, fed with one step after another."""

    def __init__(
        self,
        config: RunConfig,
        corpus: Corpus,
        identity: str,
        directory: Path,
        learner: Learner,
        run_log: RunLog,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.config, self.corpus, self.directory = config, corpus, directory
        self.folder = RunFolder(directory)
        self.learner, self.state, self.device = learner, learner.state, learner.device
        self.identity, self.run_log, self.on_progress = identity, run_log, on_progress
        self.held_out = HeldOut.of(
            corpus.heldout, config.model.context_length, config.trainer.eval_stride
        )
        self.metrics: dict[str, float | None] = {}
        self._closed = False
        self._describe()
        self._resume()
        header = {
            "run_id": identity,
            "name": config.name,
            "corpus_sha256": corpus.text_sha256,
            "track": config.explorer.track,
        }
        resumed = self.learner.step or None
        self.journal = JournalWriter(self.folder.journal, header, resumed)
        history = read(self.journal.path)[1] if resumed else []
        self.recorder = Tracker.start(config.tracking, config.raw, identity, directory, history)
        self._before, self._first = self.state.elapsed_s, self.learner.step
        self._clock = self._last_checkpoint = self._last_progress = time.monotonic()

    def _describe(self) -> None:
        where = provenance.provenance(self.corpus.text_sha256, str(self.device))
        self.folder.describe(self.config.raw, where)

    def _resume(self) -> None:
        found = checkpoint.read_latest(self.folder)
        if found is not None:
            self.learner.load(found)
            log.info("continuing after step %d of %d", found.step, self.learner.steps)
            return
        self.state.started = now()
        if self.config.health.on_nonfinite == "act":
            self._checkpoint()  # something to go back to

    @property
    def describes_next_step(self) -> bool:
        """Whether the next step is one of those that are logged."""
        return self._logs(self.learner.step + 1)

    def _logs(self, done: int) -> bool:
        return done % self.config.trainer.log_every == 0 or done == self.learner.steps

    def took_step(self, facts: dict[str, torch.Tensor]) -> None:
        """Take note of the step that the learner has just taken; log and save what is due.

        Raises:
            Diverged: The loss or the gradient is no longer finite.
        """
        trainer, done = self.config.trainer, self.learner.step
        logs = self._logs(done)
        self.state.norms.append(facts["grad_norm"])
        now = time.monotonic()
        self.state.elapsed_s = self._before + now - self._clock
        if logs:
            try:
                self._log_training(facts)
            except Diverged as error:
                self._roll_back(error)
                return
        every = self.config.health.sparsity_every
        if every and done % every == 0:
            self._log_sparsity()
        if done % trainer.eval_every == 0 or done == self.learner.steps:
            self._log_evaluation(self._evaluate(trainer.eval_positions))
            self._move_schedule()
            self._react_to_evaluation()
        now = time.monotonic()
        self.state.elapsed_s = self._before + now - self._clock
        rate = (done - self._first) / max(1e-9, now - self._clock)
        if logs and self.on_progress is not None:
            self.on_progress(self._progress(rate))
        if now - self._last_progress >= _PROGRESS_EVERY_S:
            self._last_progress = now
            self._write_progress("running", rate)
        if logs and now - self._last_checkpoint >= trainer.checkpoint_every_s:
            self._checkpoint()
            self._last_checkpoint = time.monotonic()

    def put_down(self) -> None:
        """Leave a checkpoint to go on from.

        Raises:
            Interrupted: Always.
        """
        self._checkpoint()
        self._write_progress("interrupted", 0.0)
        raise Interrupted(self.directory, self.learner.step)

    def conclude(self) -> Result:
        """Measure on all held-out text, write the result, close."""
        result = self._conclude()
        self.close()
        self._write_progress("done", 0.0)
        return result

    def fail(self, error: Exception) -> None:
        """Write down what went wrong, unless it is an interruption."""
        with self.run_log.attended():
            if not isinstance(error, Interrupted):
                write_failure(self.config, self.identity, self.directory, error)
        self.close()

    def close(self) -> None:
        """Let go of every file; harmless when repeated."""
        if not self._closed:
            self._closed = True
            self.journal.close()
            with self.run_log.attended():
                self.recorder.finish()
            self.run_log.close()

    def _log_training(self, facts: dict[str, torch.Tensor]) -> None:
        # The only place where training waits for the device: one transfer for all figures.
        names = [name for name in facts if name != "grad_norm"]
        values = torch.stack([facts[name].float() for name in names] + self.state.norms).tolist()
        self.state.norms = []
        metrics: dict[str, float] = dict(zip(names, values, strict=False))
        health = self.state.health.gradients(values[len(names) :], self.config.optimizer.grad_clip)
        metrics.update(health)
        metrics["train/lr"] = self.learner.learning_rate
        self._record(metrics)
        self._tell(self.state.health.check_gradients(metrics))
        if not torch.tensor([metrics["train/loss"], health["health/grad_norm"]]).isfinite().all():
            raise Diverged(
                f"step {self.learner.step}: loss {metrics['train/loss']}, gradient norm "
                f"{health['health/grad_norm']}; a smaller optimizer.lr or a bounded reward may help"
            )

    def _evaluate(self, limit: int | None) -> Evaluation:
        started = time.monotonic()
        evaluation = evaluate(
            self.learner.score,
            self.held_out,
            device=self.device,
            reference=self.learner.score_reference,
            limit=limit,
        )
        evaluation.metrics["time/evaluation_s"] = time.monotonic() - started
        return evaluation

    def _log_evaluation(self, evaluation: Evaluation) -> None:
        self._record(evaluation.metrics)
        nats = evaluation.metrics["val/nats"]
        if nats < self.state.best.get("best/nats", float("inf")):
            self.state.best = {"best/nats": nats, "best/step": self.learner.step}
        self._tell(self.state.health.check_evaluation(evaluation.metrics, steering=False))

    def _react_to_evaluation(self) -> None:
        """Let calibration and confidence on the development slice steer, where they are to."""
        limits, part = self.config.health, self.learner.reference_schedule.slice
        if not limits.steers_by_evaluation or part is None:
            return
        limit = self.config.trainer.eval_positions
        found = evaluate(self.learner.score, part, device=self.device, limit=limit).metrics
        figures = {
            "dev/ece": found["val/ece"],
            "dev/collapse_gap": found["health/collapse_gap"],
            "dev/entropy_gap": found["health/entropy_gap"],
        }
        self._record(figures)
        self._tell(self.state.health.check_evaluation(found, steering=True))
        acting = [
            name for name in ("calibration", "confidence_collapse") if limits.action(name) == "act"
        ]
        if acting:
            on = any(self.state.health.active.get(name, False) for name in acting)
            moved = self.state.health.ent_boost + (limits.ent_boost if on else -limits.ent_boost)
            self.state.health.ent_boost = max(0.0, moved)

    def _log_sparsity(self) -> None:
        # The initial weights follow from the seed, so they needn't be kept.
        model = self.config.model.build(self.corpus.vocab_size, self.config.seed)
        first = {name: value.to(self.device) for name, value in model.named_parameters()}
        facts = update_facts(self.learner.parameters, first, self.state.measured)
        self.state.measured = self.learner.copied_weights()
        values = torch.stack([value.float() for value in facts.values()]).tolist()
        self._record(dict(zip(facts, values, strict=True)))

    def _roll_back(self, error: Diverged) -> None:
        """Go back to the last checkpoint with a smaller learning rate, or give up."""
        limits, failed = self.config.health, self.learner.step
        found = checkpoint.read_latest(self.folder)
        count = self.state.health.rollbacks
        if limits.on_nonfinite != "act" or count >= limits.max_rollbacks or found is None:
            raise error
        factor, step, elapsed = self.state.health.lr_factor, found.step, self.state.elapsed_s
        self.learner.load(found)
        self.state.elapsed_s = elapsed
        self.state.health.rollbacks = count + 1
        self.state.health.lr_factor = factor * limits.lr_cut
        self.journal.rewind(step)
        event = {"event": "rollback", "from": failed, "to": step, "lr_factor": factor}
        self.journal.write({**self._where(), **event, "lr_factor": self.state.health.lr_factor})
        log.warning("step %d: %s; back to step %d, learning rate cut", failed, error, step)
        self._checkpoint()

    def _move_schedule(self) -> None:
        guidance = self.learner.reference_schedule
        figures, promotion = guidance.look(
            self.learner.score, self.device, self.config.trainer.eval_positions
        )
        if figures:
            self._record(figures)
        if promotion is not None:
            log.info(
                "step %d: guided by %s, no longer by %s",
                self.learner.step,
                promotion.target,
                promotion.source,
            )
            event = {"event": "promotion", "from": promotion.source, "to": promotion.target}
            self.journal.write({**self._where(), **event})

    def _record(self, metrics: Mapping[str, float]) -> None:
        record = {**self._where(), **metrics}
        self.metrics.update(metrics)
        self.journal.write(record)
        self.recorder.log(self.learner.step, record)

    def _where(self) -> dict[str, Any]:
        return {
            "step": self.learner.step,
            "characters_seen": self.learner.characters_seen,
            "time/elapsed_s": round(self.state.elapsed_s, 3),
        }

    def _tell(self, alarms: list[Alarm]) -> None:
        limits = self.config.health
        for alarm in alarms:
            action = limits.action(alarm.name)
            if action != "log":
                ALARMS.warning("step %d: %s", self.learner.step, alarm)
            event = {
                "event": "alarm",
                "alarm": alarm.name,
                "state": "raised" if alarm.raised else "cleared",
                "fact": alarm.fact,
                "value": alarm.value,
                "threshold": alarm.threshold,
            }
            self.journal.write({**self._where(), **event})
            if action != "log":
                self.recorder.alarm(str(alarm), alarm.raised)
            if alarm.raised and action == "stop":
                raise Stopped(f"step {self.learner.step}: {alarm}; health asks for a stop")
            cuts = alarm.name in ("gradient_stability", "clipping")
            if alarm.raised and action == "act" and cuts:
                self.state.health.lr_factor *= limits.lr_cut

    def _checkpoint(self) -> None:
        checkpoint.write_checkpoint(self.folder, self.state.state_dict())
        checkpoint.prune(self.folder, self.config.trainer.keep_checkpoints)

    def _progress(self, rate: float, state: str = "running") -> Progress:
        left = self.learner.steps - self.learner.step
        return Progress(
            step=self.learner.step,
            steps=self.learner.steps,
            rate=rate,
            eta_s=left / rate if rate > 0 else None,
            loss=self.metrics.get("train/loss"),
            nats=self.metrics.get("val/nats"),
            warnings=self.state.health.warnings,
            metrics=dict(self.metrics),
            state=state,
            updated=time.time(),
            pid=os.getpid(),
            host=socket.gethostname(),
            device=str(self.device),
        )

    def _write_progress(self, state: str, rate: float) -> None:
        self.folder.write_progress(self._progress(rate, state))

    def _conclude(self) -> Result:
        config, corpus, learner = self.config, self.corpus, self.learner
        # All held-out text now. It goes into the journal as an event: the curve is made of
        # evaluations on one fixed sample of positions, and a point on others would be a kink in it.
        evaluation = self._evaluate(None)
        self.metrics.update(evaluation.metrics)
        self.journal.write({**self._where(), "event": "final", **evaluation.metrics})
        self._tell(self.state.health.check_evaluation(evaluation.metrics))
        self._checkpoint()
        samples = write_samples(learner.score, config, corpus, self.directory, self.device)
        levels = ngram_levels(corpus.train, corpus.heldout, corpus.vocab_size)
        code = provenance.code()
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "id_schema": id_schema(),
            "run_id": self.identity,
            "name": config.name,
            "state": "done",
            "track": config.explorer.track,
            "is_control": config.objective.is_control,
            "corpus": corpus.name,
            "corpus_sha256": corpus.text_sha256,
            "corpus_fallback": corpus.fallback_reason,
            "notes": list(corpus.notes),
            "seed": config.seed,
            "parameters": parameter_count(learner.model),
            "steps": learner.steps,
            "characters_seen": learner.characters_seen,
            "seconds": round(self.state.elapsed_s, 3),
            **{key: value for key, value in self.metrics.items() if value is not None},
            **self.state.best,
            "git_commit": code["git_commit"],
            "git_diff_sha256": code["git_diff_sha256"],
            "code_sha256": code["code_sha256"],
            "device": str(self.device),
            "started": self.state.started,
            "finished": now(),
            "alarms": self.state.health.ever,
            "reliability": evaluation.reliability,
            "samples": samples,
        }
        for name, level in levels.items():
            values[f"ngram/{name}/nats"] = level.nats
            values[f"ngram/{name}/accuracy"] = level.accuracy
        result = self.folder.write_result(values)
        self.recorder.summary(values)
        return result
