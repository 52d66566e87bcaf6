"""The learner: network, optimisers and text on one device, advanced step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import avatarl.model
import avatarl.optimizer
import avatarl.reference
import avatarl.reward
from avatarl.config import RunConfig, structure_of
from avatarl.data import Corpus, Windows
from avatarl.explorer import Decoder
from avatarl.interfaces import Hyperparameters, dynamic_values, hyperparameters_of
from avatarl.model import Cache
from avatarl.training.allocator import keep_freed_memory
from avatarl.training.compiled import Remarks, compile_mode, evaluate_of, forward_of
from avatarl.training.cuda_graph import GraphRecorder
from avatarl.training.loss import Loss, Scoring, shared_loss, unsupported_reason
from avatarl.training.precision import precision_of
from avatarl.training.reference_schedule import ReferenceSchedule, split_training_text
from avatarl.training.step import Batch, Network, Program, reward_facts

_HPARAM_GROUPS = ("explorer", "reward", "objective")


def cut_text(
    config: RunConfig, corpus: Corpus
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, Windows]:
    """Cut a text the way a run asks for; quick, so that a plan can check each of its runs.

    Returns:
        Ids (N,) of the part that trains, those of the development slice where one is needed, and
        the windows of the former.

    Raises:
        DataError: The training text is too short for the context.
        ConfigError: It has fewer windows than a batch, or no room for a development slice.
    """
    text, development = split_training_text(
        config.reference,
        config.data,
        corpus,
        config.model.context_length,
        steered=config.health.steers_by_evaluation,
    )
    windows = Windows(
        len(text) - (config.explorer.steps_ahead - 1),
        config.model.context_length,
        config.trainer.batch_size,
        config.explorer.positions,
        config.seed,
    )
    return text, development, windows


class Learner:
    """Everything that changes as a run goes on.

    The state is the weights, the acting policy's weights, the optimisers' memory, the
    controllers' memory and the step; windows and random draws follow from seed and step.

    Args:
        config: What to learn.
        corpus: From what.
        device: Where.
    """

    def __init__(self, config: RunConfig, corpus: Corpus, device: torch.device) -> None:
        self.config, self.device = config, device
        if device.type == "cpu":
            keep_freed_memory()
        self.remarks: Remarks = []
        self.step = 0
        # What the monitors have done about alarms.
        self.lr_factor, self.ent_boost = 1.0, 0.0
        self.ahead = config.explorer.steps_ahead
        context_length = config.model.context_length
        text, development, self.windows = cut_text(config, corpus)
        self.steps = config.trainer.steps or max(
            1, round(config.trainer.epochs * self.windows.steps_per_epoch)
        )
        self.last = config.explorer.positions == "last"
        self.model = config.model.build(corpus.vocab_size, config.seed).to(device)
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self.optimizers = config.optimizer.build(self.parameters)
        reference = config.reference.build(text, corpus.vocab_size, device)
        self.reference_schedule = ReferenceSchedule(
            config.reference, reference, development, context_length
        )
        structure = structure_of(config)
        self.program = Program(
            explorer=structure.explorer.build(),
            reward=structure.reward.build(avatarl.reward.Text(corpus.characters, text, device)),
            objective=structure.objective.build(),
            reference=reference,
            vocab_size=corpus.vocab_size,
            prior=config.model.prior,
            gate=self.reference_schedule.gate if self.reference_schedule.gates else None,
        )
        self.old_model: avatarl.model.Policy | None = None
        if config.objective.old_policy_age > 1:
            self.old_model = config.model.build(corpus.vocab_size, config.seed)
            self.old_model.to(device).requires_grad_(False)
        self.mode = mode = compile_mode(config, device, self.remarks)
        self.forward = forward_of(self.model, mode)
        self.old_forward = self.old_model and forward_of(self.old_model, mode)
        self.league = config.opponent.build(self.parameters)
        # What all groups read and every step writes, once in memory.
        self.dynamic = dynamic_values(device)
        self.hparams: dict[str, Hyperparameters] = {
            group: hyperparameters_of(config.raw[group], device, self.dynamic)
            for group in _HPARAM_GROUPS
        }
        self.control: dict[str, Tensor] = self.program.objective.initial_control(
            self.hparams["objective"]
        )
        self.ids = torch.from_numpy(text.astype(np.int64)).to(device)
        span = torch.arange(context_length + self.ahead, device=device)
        self._span = span
        first = context_length if self.last else 1
        self.history = torch.arange(first, context_length + 1, device=device)  # (T,)
        # What a step reads of its own: where its windows start, and its random draws.
        self._starts = torch.zeros(config.trainer.batch_size, dtype=torch.int64, device=device)
        shape = self.program.explorer.uniforms(config.trainer.batch_size, len(self.history))
        self._drawn = torch.zeros(shape, device=device) if shape else None
        precision = precision_of(config.trainer.precision, device, self.remarks)
        self.scoring = Scoring(self.last and self.ahead == 1, device.type, precision)
        self.loss: Loss | None = None
        if unsupported_reason(config) is None:
            text_key = f"{corpus.text_sha256} {len(text)}"
            self.loss = shared_loss(
                config, self.program, self.model, self.history, self.scoring, text_key
            )
        self._evaluate = evaluate_of(mode)
        self.recorder = GraphRecorder() if mode.recorded else None

    @property
    def characters_seen(self) -> int:
        """Characters that have been targets so far, rollouts' later ones included."""
        return self.step * self.windows.targets_per_step * self.ahead

    @property
    def learning_rate(self) -> float:
        """Of the latest step."""
        factor = avatarl.optimizer.learning_rate_factor(
            self.config.optimizer, max(0, self.step - 1), self.steps
        )
        return self.config.optimizer.lr * factor * self.lr_factor

    def place_windows(self, step: int) -> None:
        """Write where a step's windows start to where the step reads it."""
        starts = torch.from_numpy(self.windows.starts(step))  # (B,)
        if self.device.type == "cuda":
            starts = starts.pin_memory()  # else the copy would wait for the device
        self._starts.copy_(starts, non_blocking=True)

    def place_draws(self, step: int) -> None:
        """Write the explorer's random numbers, a function of seed and step, likewise."""
        if self._drawn is not None:
            mixed = np.random.SeedSequence([self.config.seed, step]).generate_state(1, np.uint64)
            generator = torch.Generator(self.device).manual_seed(int(mixed[0] >> np.uint64(1)))
            self._drawn.uniform_(generator=generator)

    def placed(self) -> tuple[Batch, Tensor | None]:
        """Cut the windows of the step at hand out of the text; and the explorer's draws."""
        text = self.ids[self._starts.unsqueeze(-1) + self._span]  # (B,L+H)
        length = self.config.model.context_length
        batch = Batch(
            context=text[:, :length],
            target=text[:, length:] if self.last else text[:, 1:],
            positions=self._starts.unsqueeze(-1) + self.history,  # (B,T)
            history=self.history,
            reach=self.reference_schedule.reach,
        )
        return batch, self._drawn

    def batch(self, step: int) -> Batch:
        """Cut the windows of any step out of the text."""
        self.place_windows(step)
        return self.placed()[0]

    def uniforms(self, step: int) -> Tensor | None:
        """Draw the explorer's random numbers of any step."""
        self.place_draws(step)
        return self._drawn

    def network(
        self, model: Callable[..., Tensor], context: Tensor, prior: Tensor | None
    ) -> Tensor:
        """Log-probabilities (B,T,V) fp32 of the scored positions, or of all after rollouts."""
        return self.scoring(model, context, prior)

    def inputs(self) -> dict[str, Any]:
        """What the loss of the step at hand reads besides weights; see :class:`Loss`."""
        batch, uniforms = self.placed()
        inputs: dict[str, Any] = {
            "context": batch.context,
            "target": batch.target,
            "positions": batch.positions,
            "hparams": self.hparams,
            "control": self.control,
        }
        if uniforms is not None:
            inputs["uniforms"] = uniforms
        reference = self.program.reference_policy(batch)
        if reference is not None:
            inputs["reference"] = scored = reference(batch.context)
            gate = None if self.program.gate is None else self.program.gate(batch, scored)
            if gate is not None:
                inputs["gate"] = gate
        return inputs

    def train_step(self, *, with_facts: bool) -> dict[str, Tensor]:
        """Take one optimiser step.

        Args:
            with_facts: Also describe the step, for the log.

        Returns:
            0-d tensors on the device: ``grad_norm`` (before clipping) and the facts.
        """
        self.prepare_step()
        if self.recorder is None:
            facts = self._advance(with_facts)
        else:
            facts = self.recorder(lambda: self._advance(True), key=self.reference_schedule.reach)
        self.step += 1
        return facts

    def _advance(self, with_facts: bool) -> dict[str, Tensor]:
        """Everything of a step that happens on the device."""
        if not self.mode.loss:
            return self._advance_as_written(with_facts)
        assert self.loss is not None
        # A compiled step is always described: that costs little, another program would not.
        weights: dict[str, Any] = {"weights": self.parameters, "opponents": self.league.players()}
        if self.old_model is not None:
            weights["old_weights"] = dict(self.old_model.named_parameters())
        loss, facts, control = self._evaluate(self.loss, weights | self.inputs(), True)
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        return {"grad_norm": self.update(gradients, control), **facts}

    def _advance_as_written(self, with_facts: bool) -> dict[str, Tensor]:
        # Just refreshed, the acting policy is the trained one, and one forward pass serves both.
        old_forward = None if self._refreshes_old_policy() else self.old_forward

        def network(context: Tensor, prior: Tensor | None) -> Tensor:
            return self.network(self.forward, context, prior)

        batch, uniforms = self.placed()
        experience, logprobs = self.program.collect(
            network,
            None
            if old_forward is None
            else lambda context, prior: self.network(old_forward, context, prior),
            batch,
            self.hparams,
            uniforms,
            self.opponents(),
            self.writer,
        )
        norm = torch.zeros((), device=self.device)
        for inner in range(self.config.objective.inner_steps):
            terms = self.program.compute_loss(
                network,
                experience,
                logprobs if inner == 0 else None,
                self.hparams,
                self.control,
                with_facts=with_facts,
            )
            gradients = torch.autograd.grad(terms.loss, list(self.parameters.values()))
            norm = torch.maximum(norm, self.update(gradients, terms.control))
        facts = {"grad_norm": norm}
        if with_facts:
            facts |= terms.facts | experience.facts
            facts |= reward_facts(experience.exploration, experience.rewards)
        return facts

    def prepare_step(self) -> None:
        """Bring everything up to date that follows from how many steps were taken."""
        config, step = self.config, self.step
        if self.old_model is not None and self._refreshes_old_policy():
            with torch.no_grad():
                for old, new in zip(
                    self.old_model.parameters(), self.model.parameters(), strict=True
                ):
                    old.copy_(new)
        self.dynamic["characters_seen"].fill_(float(self.characters_seen))
        self.dynamic["progress"].fill_(step / self.steps)
        self.dynamic["reference_factor"].fill_(self.reference_schedule.factor(self.characters_seen))
        self.dynamic["ent_boost"].fill_(self.ent_boost)
        self.league.refresh(step, self.parameters)
        factor = avatarl.optimizer.learning_rate_factor(config.optimizer, step, self.steps)
        avatarl.optimizer.set_learning_rate(self.optimizers, factor * self.lr_factor)
        self.place_windows(step)
        self.place_draws(step)

    def _refreshes_old_policy(self) -> bool:
        return self.step % self.config.objective.old_policy_age == 0

    def update(self, gradients: Sequence[Tensor], control: Mapping[str, Tensor]) -> Tensor:
        """Move the weights along their gradients, and remember what controllers want to.

        Args:
            gradients: Of each weight, in order.
            control: The controllers' next memory.

        Returns:
            Norm of the whole gradient before clipping, 0-d.
        """
        weights = list(self.parameters.values())
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.contiguous()  # fused optimisers read memory in order
        norm = torch.nn.utils.clip_grad_norm_(weights, self.config.optimizer.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for name, value in control.items():
            self.control[name].copy_(value.detach())
        return norm.detach()

    @torch.no_grad()
    def writer(self, prompt: Tensor, rollouts: int) -> Decoder:
        """Start rollouts of the acting policy; each window's prompt is read once.

        Keys and values of what was read are kept, so that each step costs one character.

        Args:
            prompt: (B,P) int64.
            rollouts: K.
        """
        model = self.old_model or self.model
        reference = self.score_reference if self.program.prior else None
        memory: Cache = []
        written = prompt

        def score(new: Tensor) -> Tensor:
            nonlocal memory
            prior = None if reference is None else reference(written, 1)
            with self.scoring.autocast():
                logits, memory = model.extend(new, memory, prior)
            return logits.float().log_softmax(dim=-1)

        @torch.no_grad()
        def write(char: Tensor | None) -> Tensor:
            nonlocal memory, written
            if char is None:
                first = score(prompt)  # (B,1,V)
                memory = [
                    tuple(kept.repeat_interleave(rollouts, 0) for kept in part) for part in memory
                ]
                written = prompt.repeat_interleave(rollouts, 0)  # (B·K,P)
                return first.repeat_interleave(rollouts, 0)
            written = torch.cat([written, char], dim=1)
            return score(char)

        return write

    def opponents(self) -> list[Network]:
        """Past selves as networks, the newest first."""
        return [self.scoring.network(self.model, one) for one in self.league.players()]

    def score(self, context: Tensor, positions: int) -> Tensor:
        """Score held-out or prompted contexts: (B,L) to (B,positions,V)."""
        prior = None
        if self.config.model.prior:
            prior = self.score_reference(context, positions) if self.program.reference else None
        with self.scoring.autocast():
            logits = self.model(context, last=positions == 1, prior_logprobs=prior)
        logprobs: Tensor = logits[:, -positions:].float().log_softmax(dim=-1)
        return logprobs

    @property
    def score_reference(self) -> Any:
        """The reference as a scorer of held-out contexts, or None without one."""
        reference = self.program.reference
        if reference is None:
            return None

        def score(context: Tensor, positions: int) -> Tensor:
            reach = self.reference_schedule.reach
            longest = reference.order - 1 if reach is None else reach
            read = avatarl.reference.history_windows(context, longest)
            return reference.logprobs(read[:, -positions:])

        return score

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that can't be recomputed, by name."""
        from avatarl.training.checkpoint import pack_optimizers

        tensors: dict[str, Tensor] = {
            f"model.{name}": value for name, value in self.parameters.items()
        }
        if self.old_model is not None:
            for name, value in self.old_model.named_parameters():
                tensors[f"old.{name}"] = value
        tensors |= {f"control.{name}": value for name, value in self.control.items()}
        tensors |= {f"opponent.{name}": value for name, value in self.league.weights.items()}
        return tensors | pack_optimizers(self.optimizers)

    def load_state(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Continue after ``step`` from what :meth:`state_tensors` gave."""
        from avatarl.training.checkpoint import unpack_optimizers

        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(tensors[f"model.{name}"])
            if self.old_model is not None:
                for name, value in self.old_model.named_parameters():
                    value.copy_(tensors[f"old.{name}"])
        for name, value in self.control.items():
            value.copy_(tensors[f"control.{name}"])
        self.league.weights = {
            name: tensors[f"opponent.{name}"].to(self.device) for name in self.league.weights
        }
        unpack_optimizers(self.optimizers, tensors)
        self.moved()
        self.step = step

    def moved(self) -> None:
        """Take note that weights or optimisers' memory are at other addresses now."""
        if self.recorder is not None:
            self.recorder.forget()
