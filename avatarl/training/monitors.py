"""What a run looks at as it trains, and what it does about what it sees."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from avatarl.data import Corpus
from avatarl.training.adaptive import evaluate_while_learning
from avatarl.training.checkpoint import read_latest
from avatarl.training.device import widest
from avatarl.training.endings import Diverged, Stopped
from avatarl.training.evaluation import Evaluation, Scorer, evaluate, evaluate_all
from avatarl.training.health import Alarm
from avatarl.training.learner import Learner, first_policy
from avatarl.training.population import members_and_ensemble, population_figures
from avatarl.training.recording import Recording
from avatarl.training.sparsity import update_facts

log = logging.getLogger("avatarl")


class Monitors:
    """Records a learner's figures, and lets those that alarm change the run.

    Args:
        learner: The learner.
        corpus: Its text.
        recording: Where figures, alarms and what follows are written down.
    """

    def __init__(self, learner: Learner, corpus: Corpus, recording: Recording) -> None:
        self.learner, self.state, self.recording = learner, learner.state, recording
        self.config, self.limits, self._corpus = learner.config, learner.config.health, corpus
        self._held_out = learner.held_out(corpus.heldout)

    def log(self, facts: dict[str, Tensor]) -> None:
        """Record a described step, with means and gradients of all steps since the last record.

        Raises:
            Diverged: The loss or the gradient is no longer finite.
            Stopped: An alarm asks for it.
        """
        described = {name: value for name, value in facts.items() if name != "grad_norm"}
        described |= self.state.means.take()
        # The only place where training waits for the device: one transfer for all figures.
        waiting = [*described.values(), facts["train/loss"], *self.state.norms]
        wide = widest(self.learner.device)
        values = torch.stack([value.to(wide) for value in waiting]).tolist()
        self.state.norms = []
        metrics: dict[str, float] = dict(zip(described, values, strict=False))
        loss, *norms = values[len(described) :]
        metrics |= self.state.health.gradients(norms, self.config.optimizer.grad_clip)
        metrics["train/lr"] = self.learner.learning_rate
        self.recording.metrics(metrics)
        self._heed(self.state.health.check_gradients(metrics))
        norm = metrics["health/grad_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(
                f"step {self.state.step}: loss {loss}, gradient norm {norm}; "
                "a smaller optimizer.lr or a bounded reward may help"
            )

    def measure_sparsity(self) -> None:
        """Compare the weights with the initial ones and the last measured, every so many steps."""
        every = self.limits.sparsity_every
        if not every or self.state.step % every:
            return
        # The initial weights follow from the seed, so they needn't be kept.
        model = first_policy(self.config, self._corpus.vocab_size)
        first = {name: value.to(self.learner.device) for name, value in model.named_parameters()}
        facts = update_facts(self.learner.parameters, first, self.state.measured)
        self.state.measured = self.state.copied_weights()
        values = torch.stack([value.float() for value in facts.values()]).tolist()
        self.recording.metrics(dict(zip(facts, values, strict=True)))

    def evaluate(self) -> None:
        """Record an evaluation, and let it move the reference's schedule and the entropy bonus.

        Raises:
            Stopped: An alarm asks for it.
        """
        limit = self.config.trainer.eval_positions
        metrics = self._evaluated(limit, self.learner.score).metrics
        self.recording.metrics(metrics)
        nats = metrics["val/nats"]
        if nats < self.state.best.get("best/nats", math.inf):
            self.state.best = {"best/nats": nats, "best/step": self.state.step}
        self._heed(self.state.health.check_evaluation(metrics, steering=False))
        self._look_at_slice()
        self._move_schedule()
        self._steer()

    def finish(self) -> Mapping[str, list[float]]:
        """Record an evaluation on all held-out text, and return its calibration curve.

        It is of the weights that the result is of; the trained ones are measured beside them
        where those are others.

        Raises:
            Stopped: An alarm asks for it.
        """
        state, learner = self.state, self.learner
        evaluation = self._evaluated(None, learner.headline)
        if state.describe_headline():
            last = evaluate(
                learner.scorer(state.parameters, state.step),
                self._held_out,
                device=learner.device,
            ).metrics
            for figure in ("nats", "accuracy", "ece", "entropy"):
                evaluation.metrics[f"last/{figure}"] = last[f"val/{figure}"]
        if self.config.trainer.evaluation == "dynamic":
            evaluation.metrics.update(self._adapted())
        if self.config.trainer.eval_dev:
            evaluation.metrics.update(self._on_slice(None, learner.headline))
        self.recording.final(evaluation.metrics)
        self._heed(self.state.health.check_evaluation(evaluation.metrics))
        return evaluation.reliability

    def _evaluated(self, limit: int | None, score: Scorer) -> Evaluation:
        """Measure a policy of the run's, and the rest of a population beside it."""
        started, learner = time.monotonic(), self.learner
        others = map(learner.scorer_of, range(1, len(self.state.members)))
        found = evaluate_all(
            members_and_ensemble([score, *others]),
            self._held_out,
            device=learner.device,
            reference=learner.score_reference,
            limit=limit,
        )
        metrics = {**found[0].metrics, **population_figures(found)}
        metrics["time/evaluation_s"] = time.monotonic() - started
        return Evaluation(metrics, found[0].reliability)

    def _adapted(self) -> dict[str, float]:
        """Measure the headline's weights as they go on learning from what they have read."""
        learner, settings = self.learner, self.config.trainer
        return evaluate_while_learning(
            learner.headline_by,
            self.state.headline,
            self._held_out,
            every=settings.adapt_every,
            lr=settings.adapt_lr,
            device=learner.device,
        )

    def roll_back(self, error: Diverged) -> None:
        """Go back to the last checkpoint with a smaller learning rate, or give up.

        Raises:
            Diverged: The error, where settings or the lack of a checkpoint leave nothing else.
        """
        health, failed, elapsed = self.state.health, self.state.step, self.state.elapsed_s
        allowed = self.limits.on_nonfinite == "act" and health.rollbacks < self.limits.max_rollbacks
        found = read_latest(self.recording.folder) if allowed else None
        if found is None:
            raise error
        self.learner.load(found)
        # These go on; everything else is as it was.
        self.state.elapsed_s = elapsed
        self.state.health.rollbacks = health.rollbacks + 1
        self.state.health.lr_factor = health.lr_factor * self.limits.lr_cut
        self.recording.rewind()
        factors = {"from": failed, "to": found.step, "lr_factor": self.state.health.lr_factor}
        self.recording.event("rollback", **factors)
        log.warning("step %d: %s; back to step %d, learning rate cut", failed, error, found.step)

    def _heed(self, alarms: list[Alarm]) -> None:
        """Record alarms, and do what the settings ask for once one is raised."""
        for alarm in alarms:
            action = self.limits.action(alarm.name)
            self.recording.alarm(alarm, told=action != "log")
            if alarm.raised and action == "stop":
                raise Stopped(f"step {self.state.step}: {alarm}; health asks for a stop")
            cuts = alarm.name in ("gradient_stability", "clipping")
            if alarm.raised and action == "act" and cuts:
                self.state.health.lr_factor *= self.limits.lr_cut

    def _look_at_slice(self) -> None:
        """Measure on the development slice, and keep the weights if they are the best so far."""
        settings = self.config.trainer
        if not (settings.keep_best or settings.eval_dev):
            return
        found = self._on_slice(settings.eval_positions, self.learner.score)
        self.recording.metrics(found if settings.eval_dev else {"dev/nats": found["dev/nats"]})
        if settings.keep_best:
            self.state.kept.consider(self.state.evaluated, self.learner.step, found["dev/nats"])

    def _on_slice(self, limit: int | None, score: Scorer) -> dict[str, float]:
        """Return the figures of held-out text, of the development slice: ``dev/…``."""
        part, device = self.learner.reference_schedule.slice, self.learner.device
        assert part is not None
        found = evaluate(score, part, device=device, limit=limit).metrics
        of_text = [key.removeprefix("val/") for key in found if key.startswith("val/")]
        return {f"dev/{key}": found[f"val/{key}"] for key in of_text}

    def _move_schedule(self) -> None:
        learner, limit = self.learner, self.config.trainer.eval_positions
        figures, promotion = learner.reference_schedule.look(learner.score, learner.device, limit)
        if figures:
            self.recording.metrics(figures)
        if promotion is not None:
            source, target = promotion.source, promotion.target
            log.info("step %d: guided by %s, no longer by %s", learner.step, target, source)
            self.recording.event("promotion", **{"from": source, "to": target})

    def _steer(self) -> None:
        """Let calibration and confidence on the development slice act, where they are to."""
        learner, health = self.learner, self.state.health
        part, limit = learner.reference_schedule.slice, self.config.trainer.eval_positions
        if part is None or not self.limits.steers_by_evaluation:
            return
        found = evaluate(learner.score, part, device=learner.device, limit=limit).metrics
        self.recording.metrics(
            {
                "dev/ece": found["val/ece"],
                "dev/collapse_gap": found["health/collapse_gap"],
                "dev/entropy_gap": found["health/entropy_gap"],
            }
        )
        self._heed(health.check_evaluation(found, steering=True))
        names = ("calibration", "confidence_collapse")
        acting = [name for name in names if self.limits.action(name) == "act"]
        if acting:
            # Up while one of them alarms, down towards 0 while none does.
            on = any(health.active.get(name, False) for name in acting)
            boost = self.limits.ent_boost if on else -self.limits.ent_boost
            health.ent_boost = max(0.0, health.ent_boost + boost)
