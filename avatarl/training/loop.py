"""The one training loop: from a configuration to a finished, documented run."""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from avatarl.config import RunConfig, parse, run_id
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError, UserError
from avatarl.files import write_atomic, write_json
from avatarl.model import build as build_model
from avatarl.model import parameter_count
from avatarl.reference.levels import ngram_levels
from avatarl.tracking import provenance
from avatarl.tracking.journal import Journal, read
from avatarl.tracking.recorder import Recorder
from avatarl.training import checkpoint
from avatarl.training.evaluation import Evaluation, HeldOut, evaluate
from avatarl.training.health import Alarm, Health
from avatarl.training.learner import Learner
from avatarl.training.progress import Progress
from avatarl.training.result import SCHEMA, Result
from avatarl.training.run_log import RunLog, informed
from avatarl.training.sampling import generate
from avatarl.training.sparsity import update_facts

log = logging.getLogger("avatarl")

TEMPERATURES = (0.5, 0.8, 1.0)
_PROGRESS_EVERY_S = 2.0


class Interrupted(Exception):
    """A run was asked to stop; it left a checkpoint and goes on when started again."""

    def __init__(self, directory: Path, step: int) -> None:
        super().__init__(f"interrupted after step {step}; {directory} holds a checkpoint")
        self.directory, self.step = directory, step

    def __reduce__(self) -> tuple[type[Interrupted], tuple[Path, int]]:
        """Survive the way between processes."""
        return type(self), (self.directory, self.step)


class Diverged(Exception):
    """The loss or gradient is no longer finite."""


class Stopped(Exception):
    """An alarm was raised whose action is to stop."""


def run_directory(config: RunConfig, identity: str) -> Path:
    """Where a run lives; a run known under another name stays where it is."""
    runs = Path(config.output_dir) / "runs"
    for known in sorted(runs.glob(f"*-{identity}")):
        return known
    return runs / f"{config.name}-{identity}"


def execute_raw(
    raw: Mapping[str, Any],
    *,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    prepared_corpus: Path | None = None,
) -> dict[str, Any]:
    """Execute a run given as plain data and return its result as plain data."""
    config = parse(raw)
    corpus = load_corpus(config.data, prepared_corpus)
    return dict(execute(config, stop=stop, on_progress=on_progress, corpus=corpus))


def execute(
    config: RunConfig,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    corpus: Corpus | None = None,
) -> Result:
    """Run to the end, from wherever an earlier attempt left off.

    Args:
        config: What to run.
        stop: Asked between two steps; True writes a checkpoint and raises :class:`Interrupted`.
        on_progress: Told about each logged step.
        corpus: The text, if it is loaded already.

    Returns:
        The result; the stored one if the run is done.

    Raises:
        Interrupted: ``stop`` said so.
        ConfigError: The text doesn't fit the model, or the device isn't there.
        Exception: Whatever went wrong; ``failure.json`` then holds the traceback.
    """
    corpus = corpus if corpus is not None else load_corpus(config.data)
    with informed():
        begun = begin(config, corpus, on_progress)
        if isinstance(begun, Result):
            return begun
        (outcome,) = drive([begun], _alone, stop)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def begin(
    config: RunConfig,
    corpus: Corpus,
    on_progress: Callable[[Progress], None] | None = None,
) -> Attempt | Result:
    """Open a run, from wherever an earlier attempt left off; its stored result if it is done.

    Raises:
        ConfigError: The text doesn't fit the model, or the device isn't there.
        Exception: Whatever went wrong; ``failure.json`` then holds the traceback.
    """
    identity = run_id(config.raw, corpus.text_sha256)
    directory = run_directory(config, identity)
    finished = Result.read(directory)
    if finished is not None:
        return finished
    corpus.check_context(config.model.context_length)
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    learner: Learner | Exception
    try:
        # Before anything is written: what the user can't have is refused without a trace.
        learner = Learner(config, corpus, pick_device(config.trainer.device))
    except UserError:
        raise
    except Exception as error:
        learner = error
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            "output_dir", config.output_dir, "a folder that can be written to", reason
        ) from error
    run_log = RunLog(directory / "run.log")
    try:
        with run_log.attended():
            if isinstance(learner, Exception):
                raise learner
            return Attempt(config, corpus, identity, directory, learner, run_log, on_progress)
    except BaseException as error:
        with run_log.attended():
            if isinstance(error, Exception):
                _write_failure(config, identity, directory, error)
        run_log.close()
        raise


def drive(
    attempts: Sequence[Attempt],
    advance: Callable[[list[Learner], bool], list[dict[str, torch.Tensor]]],
    stop: Callable[[], bool],
) -> list[Result | Exception]:
    """Take attempts to their ends, step by step together: the one training loop.

    What goes wrong with one of them ends that one alone.

    Args:
        attempts: Each at a step of its own.
        advance: Takes one step of every given learner, described where the flag says so.
        stop: Asked between two steps; True puts all of them down.

    Returns:
        A result, :class:`Interrupted`, or what went wrong, for each attempt.
    """
    outcomes: dict[Attempt, Result | Exception] = {}

    def attend(attempt: Attempt, act: Callable[[], Result | None]) -> None:
        try:
            with attempt.run_log.attended():
                result = act()
            if result is not None:
                outcomes[attempt] = result
        except Exception as error:
            outcomes[attempt] = error
            attempt.fail(error)

    try:
        while True:
            for attempt in attempts:
                if attempt not in outcomes and attempt.learner.step >= attempt.learner.steps:
                    attend(attempt, attempt.conclude)
            going = [attempt for attempt in attempts if attempt not in outcomes]
            if not going:
                return [outcomes[attempt] for attempt in attempts]
            if stop():
                for attempt in going:
                    attend(attempt, attempt.put_down)
                continue
            with_facts = any(attempt.describes_next_step for attempt in going)
            try:
                found = advance([attempt.learner for attempt in going], with_facts)
            except Exception as error:
                for attempt in going:
                    outcomes[attempt] = error
                    attempt.fail(error)
                continue
            for attempt, facts in zip(going, found, strict=True):
                attend(attempt, functools.partial(attempt.took_step, facts))
    finally:
        for attempt in attempts:
            attempt.close()


def _alone(learners: list[Learner], with_facts: bool) -> list[dict[str, torch.Tensor]]:
    return [learner.train_step(with_facts=with_facts) for learner in learners]


def pick_device(name: str) -> torch.device:
    """Turn ``trainer.device`` into a device that is there.

    Raises:
        ConfigError: No such GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ConfigError("trainer.device", name, "auto or cpu", f"{found} GPU(s) found")
    return device


class Attempt:
    """One attempt at a run: everything around the steps that its learner takes."""

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
        self.learner, self.device = learner, learner.device
        self.identity, self.run_log, self.on_progress = identity, run_log, on_progress
        self.held_out = HeldOut.of(
            corpus.heldout, config.model.context_length, config.trainer.eval_stride
        )
        self.health = Health(config.health)
        self.best: dict[str, float] = {}
        # Gradient norms since the last training record, still on the device.
        self.norms: list[torch.Tensor] = []
        self.metrics: dict[str, float | None] = {}
        self.elapsed = 0.0
        self.started = _now()
        self._closed = False
        self._describe()
        self._resume()
        header = {"run_id": identity, "name": config.name, "corpus_sha256": corpus.text_sha256}
        resumed = self.learner.step or None
        self.journal = Journal(directory / "metrics.jsonl", header, resumed)
        history = read(self.journal.path)[1] if resumed else []
        self.recorder = Recorder.start(config.tracking, config.raw, identity, directory, history)
        self._before, self._first = self.elapsed, self.learner.step
        self._clock = self._last_checkpoint = self._last_progress = time.monotonic()

    def _describe(self) -> None:
        write_atomic(self.directory / "config.yaml", _to_yaml(self.config.raw))
        write_json(self.directory / "config.json", self.config.raw)
        where = provenance.provenance(self.corpus.text_sha256, str(self.device))
        write_json(self.directory / "provenance.json", where)

    def _resume(self) -> None:
        # What the weights were at the last measurement of sparsity.
        self._measured = self._weights()
        found = checkpoint.read_latest(self.directory)
        if found is None:
            if self.config.health.on_nonfinite == "act":
                self._checkpoint()  # something to go back to
            return
        step, numbers = self._load(found)
        self.elapsed = numbers["elapsed_s"]
        self.started = numbers["started"]
        log.info("continuing after step %d of %d", step, self.learner.steps)

    def _load(
        self, found: tuple[int, dict[str, torch.Tensor], dict[str, Any]]
    ) -> tuple[int, dict[str, Any]]:
        step, tensors, numbers = found
        self.learner.load_state(step, tensors)
        for name in self._measured:
            stored = tensors.get(f"measured.{name}")
            if stored is not None:
                self._measured[name] = stored.to(self.device)
        self.health = Health.from_state(self.config.health, numbers["health"])
        self._steer()
        self.best = numbers["best"]
        self.learner.guidance.load_state(numbers["guidance"])
        self.norms = list(torch.tensor(numbers["norms"], device=self.device))
        return step, numbers

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.learner.parameters.items()}

    def _steer(self) -> None:
        """Tell the learner what the monitors have decided so far."""
        self.learner.lr_factor = self.health.lr_factor
        self.learner.ent_boost = self.health.ent_boost

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
        self.norms.append(facts["grad_norm"])
        now = time.monotonic()
        self.elapsed = self._before + now - self._clock
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
        self.elapsed = self._before + now - self._clock
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
        (self.directory / "failure.json").unlink(missing_ok=True)
        return result

    def fail(self, error: Exception) -> None:
        """Write down what went wrong, unless it is an interruption."""
        with self.run_log.attended():
            if not isinstance(error, Interrupted):
                _write_failure(self.config, self.identity, self.directory, error)
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
        values = torch.stack([facts[name].float() for name in names] + self.norms).tolist()
        self.norms = []
        metrics: dict[str, float] = dict(zip(names, values, strict=False))
        health = self.health.gradients(values[len(names) :], self.config.optimizer.grad_clip)
        metrics.update(health)
        metrics["train/lr"] = self.learner.learning_rate
        self._record(metrics)
        self._tell(self.health.check_gradients(metrics))
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
        if nats < self.best.get("best/nats", float("inf")):
            self.best = {"best/nats": nats, "best/step": self.learner.step}
        self._tell(self.health.check_evaluation(evaluation.metrics, steering=False))

    def _react_to_evaluation(self) -> None:
        """Let calibration and confidence on the development slice steer, where they are to."""
        limits, part = self.config.health, self.learner.guidance.slice
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
        self._tell(self.health.check_evaluation(found, steering=True))
        acting = [
            name for name in ("calibration", "confidence_collapse") if limits.action(name) == "act"
        ]
        if acting:
            on = any(self.health.active.get(name, False) for name in acting)
            moved = self.health.ent_boost + (limits.ent_boost if on else -limits.ent_boost)
            self.health.ent_boost = max(0.0, moved)
            self._steer()

    def _log_sparsity(self) -> None:
        # The initial weights follow from the seed, so they needn't be kept.
        model = build_model(self.config.model, self.corpus.vocab_size, self.config.seed)
        first = {name: value.to(self.device) for name, value in model.named_parameters()}
        facts = update_facts(self.learner.parameters, first, self._measured)
        self._measured = self._weights()
        values = torch.stack([value.float() for value in facts.values()]).tolist()
        self._record(dict(zip(facts, values, strict=True)))

    def _roll_back(self, error: Diverged) -> None:
        """Go back to the last checkpoint with a smaller learning rate, or give up."""
        limits, failed = self.config.health, self.learner.step
        found = checkpoint.read_latest(self.directory)
        count = self.health.rollbacks
        if limits.on_nonfinite != "act" or count >= limits.max_rollbacks or found is None:
            raise error
        factor = self.health.lr_factor
        step, _ = self._load(found)
        self.health.rollbacks = count + 1
        self.health.lr_factor = factor * limits.lr_cut
        self._steer()
        self.journal.rewind(step)
        event = {"event": "rollback", "from": failed, "to": step, "lr_factor": factor}
        self.journal.write({**self._where(), **event, "lr_factor": self.health.lr_factor})
        log.warning("step %d: %s; back to step %d, learning rate cut", failed, error, step)
        self._checkpoint()

    def _move_schedule(self) -> None:
        guidance = self.learner.guidance
        figures, promotion = guidance.look(
            self.learner.score,
            self.learner.score_reference,
            self.device,
            self.config.trainer.eval_positions,
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
            "time/elapsed_s": round(self.elapsed, 3),
        }

    def _tell(self, alarms: list[Alarm]) -> None:
        limits = self.config.health
        for alarm in alarms:
            action = limits.action(alarm.name)
            if action != "log":
                log.warning("step %d: %s", self.learner.step, alarm)
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
                self.health.lr_factor *= limits.lr_cut
                self._steer()

    def _checkpoint(self) -> None:
        numbers = {
            "health": self.health.state(),
            "best": self.best,
            "guidance": self.learner.guidance.state(),
            "norms": [norm.item() for norm in self.norms],
            "elapsed_s": self.elapsed,
            "started": self.started,
        }
        tensors = self.learner.state_tensors()
        if self.config.health.sparsity_every:
            tensors |= {f"measured.{name}": value for name, value in self._measured.items()}
        checkpoint.write_checkpoint(self.directory, self.learner.step, tensors, numbers)
        checkpoint.prune(self.directory, self.config.trainer.keep_checkpoints)

    def _progress(self, rate: float) -> Progress:
        left = self.learner.steps - self.learner.step
        return Progress(
            step=self.learner.step,
            steps=self.learner.steps,
            rate=rate,
            eta_s=left / rate if rate > 0 else None,
            loss=self.metrics.get("train/loss"),
            nats=self.metrics.get("val/nats"),
            warnings=self.health.warnings,
            metrics=dict(self.metrics),
        )

    def _write_progress(self, state: str, rate: float) -> None:
        progress = self._progress(rate)
        content = {
            "state": state,
            "step": progress.step,
            "steps": progress.steps,
            "rate": round(progress.rate, 4),
            "eta_s": progress.eta_s,
            "loss": progress.loss,
            "nats": progress.nats,
            "warnings": list(progress.warnings),
            "updated": time.time(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "device": str(self.device),
        }
        write_json(self.directory / "progress.json", content)

    def _conclude(self) -> Result:
        config, corpus, learner = self.config, self.corpus, self.learner
        # All held-out text now. It goes into the journal as an event: the curve is made of
        # evaluations on one fixed sample of positions, and a point on others would be a kink in it.
        evaluation = self._evaluate(None)
        self.metrics.update(evaluation.metrics)
        self.journal.write({**self._where(), "event": "final", **evaluation.metrics})
        self._tell(self.health.check_evaluation(evaluation.metrics))
        self._checkpoint()
        samples = self._samples()
        levels = ngram_levels(corpus.train, corpus.heldout, corpus.vocab_size)
        code = provenance.code()
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "run_id": self.identity,
            "name": config.name,
            "state": "done",
            "track": config.explorer.track,
            "is_control": config.objective.name == "cross_entropy",
            "corpus": corpus.name,
            "corpus_sha256": corpus.text_sha256,
            "corpus_fallback": corpus.fallback_reason,
            "notes": list(corpus.notes),
            "seed": config.seed,
            "parameters": parameter_count(learner.model),
            "steps": learner.steps,
            "characters_seen": learner.characters_seen,
            "seconds": round(self.elapsed, 3),
            **{key: value for key, value in self.metrics.items() if value is not None},
            **self.best,
            "git_commit": code["git_commit"],
            "git_diff_sha256": code["git_diff_sha256"],
            "code_sha256": code["code_sha256"],
            "device": str(self.device),
            "started": self.started,
            "finished": _now(),
            "alarms": self.health.ever,
            "reliability": evaluation.reliability,
            "samples": samples,
        }
        for name, level in levels.items():
            values[f"ngram/{name}/nats"] = level.nats
            values[f"ngram/{name}/accuracy"] = level.accuracy
        result = Result(self.directory, values)
        result.write()
        self.recorder.summary(values)
        return result

    def _samples(self) -> list[dict[str, Any]]:
        characters = self.config.trainer.sample_characters
        prompt = self.corpus.heldout[: self.config.model.context_length].tolist()
        texts: list[list[int]] = [[] for _ in TEMPERATURES]
        for chosen, _ in generate(
            self.learner.score,
            prompt,
            context_length=self.config.model.context_length,
            temperatures=TEMPERATURES,
            characters=characters,
            seed=self.config.seed,
            device=self.device,
        ):
            for text, character in zip(texts, chosen.tolist(), strict=True):
                text.append(character)
        samples = [
            {"temperature": temperature, "text": self.corpus.decode(text)}
            for temperature, text in zip(TEMPERATURES, texts, strict=True)
        ]
        shown = (f"--- temperature {item['temperature']} ---\n{item['text']}\n" for item in samples)
        write_atomic(self.directory / "samples.txt", "\n".join(shown))
        return samples


def _write_failure(config: RunConfig, identity: str, directory: Path, error: BaseException) -> None:
    trace = "".join(traceback.format_exception(error))
    log.error("%s", trace)
    content = {
        "run_id": identity,
        "name": config.name,
        "error": f"{type(error).__name__}: {error}",
        "traceback": trace,
        "host": socket.gethostname(),
        "time": _now(),
    }
    # Whatever broke the run (a full disk, say) may break this too; the first error matters more.
    with contextlib.suppress(OSError):
        write_json(directory / "failure.json", content)


def _to_yaml(raw: Mapping[str, Any]) -> str:
    import yaml

    # The C emitter writes the same, ten times as fast, where libyaml is there.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(dict(raw), Dumper=dumper, sort_keys=False, allow_unicode=True))


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
