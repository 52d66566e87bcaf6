"""Quality on held-out text: every figure from one pass over the policy's distributions.

Source of the calibration error: Naeini et al. 2015, AAAI, §3 (binned), here with bins of equal
mass, as in Nguyen & O'Connor 2015, EMNLP, §3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avatarl.reference import MISSING
from avatarl.runs.stride import least_context, usual_stride

CALIBRATION_BINS = 15
CONFIDENT = 0.8
# Contexts a forward pass on a CPU, whose caches they fit; on a GPU, characters of context.
_FORWARD, _GPU_FORWARD = 1024, 131072
_ALONE = "a text of one character has no other to be ahead of"
#: Figures that can be infinite by nature, and when.
INFINITE_WHEN = {"val/margin": _ALONE, "train/margin": _ALONE}

# (text (B,H+L) that ends with the windows, scored positions at its end) → log-probs (B,n,V)
Scorer = Callable[[Tensor, int], Tensor]
# Likewise, of several policies.
Scorers = Callable[[Tensor, int], Sequence[Tensor]]


@dataclass(frozen=True)
class HeldOut:
    """Held-out text, cut into windows of full length.

    Attributes:
        ids: (M,) the held-out characters.
        context_length: L.
        stride: Characters predicted a window, at its end; each is predicted once.
        before: H, characters before each window that scorers get as well, ``MISSING`` where the
            text hasn't begun yet.
    """

    ids: npt.NDArray[Any]
    context_length: int
    stride: int
    before: int = 0

    @classmethod
    def of(
        cls,
        ids: npt.NDArray[Any],
        context_length: int,
        stride: int | None = None,
        before: int = 0,
    ) -> HeldOut:
        """Choose the usual stride where none is given."""
        return cls(ids, context_length, stride or usual_stride(context_length), before)

    def starts(self, limit: int | None) -> npt.NDArray[np.int64]:
        """Starts of all windows, or of about ``limit`` predictions, evenly spread."""
        last = len(self.ids) - self.context_length - 1
        starts = np.arange(0, last + 1, self.stride, dtype=np.int64)
        if limit is not None:
            wanted = max(1, limit // self.stride)
            if wanted < len(starts):
                starts = starts[np.linspace(0, len(starts) - 1, wanted).round().astype(np.int64)]
        return starts

    def cut(self, limit: int | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return windows with what comes before them, (W,H+L), and what to predict, (W,stride).

        Args:
            limit: About so many predictions; None for all.
        """
        starts = self.starts(limit)[:, None]
        after = np.arange(least_context(self.context_length, self.stride), self.context_length + 1)
        ids = self.ids
        if self.before:
            ids = np.concatenate([np.full(self.before, MISSING), ids])
        return ids[starts + np.arange(self.before + self.context_length)], self.ids[starts + after]


@dataclass(frozen=True)
class Evaluation:
    """What a policy is worth on held-out text.

    Attributes:
        metrics: Flat ``val/…`` and ``health/…`` figures; nats unless the name says otherwise.
        reliability: Confidence, accuracy and weight of each calibration bin.
    """

    metrics: dict[str, float]
    reliability: dict[str, list[float]]


def evaluate(
    score: Scorer,
    held_out: HeldOut,
    *,
    device: torch.device,
    reference: Scorer | None = None,
    limit: int | None = None,
) -> Evaluation:
    """Measure a policy.

    Args:
        score: The policy.
        held_out: The text.
        device: Where to compute.
        reference: Compared with by divergence, where given.
        limit: Look at about so many positions, evenly spread; all by default.

    Returns:
        Figures averaged over positions.
    """
    (found,) = evaluate_all(
        lambda context, positions: [score(context, positions)],
        held_out,
        device=device,
        reference=reference,
        limit=limit,
    )
    return found


def evaluate_all(
    score: Scorers,
    held_out: HeldOut,
    *,
    device: torch.device,
    reference: Scorer | None = None,
    limit: int | None = None,
) -> list[Evaluation]:
    """Measure several policies in one pass over the text; see :func:`evaluate`."""
    facts = facts_by_position(score, held_out, device=device, reference=reference, limit=limit)
    return [summarise(own) for own in facts]


@torch.no_grad()
def facts_by_position(
    score: Scorers,
    held_out: HeldOut,
    *,
    device: torch.device,
    reference: Scorer | None = None,
    limit: int | None = None,
) -> list[dict[str, Tensor]]:
    """Look at several policies in one pass over the text; arguments as of :func:`evaluate`.

    Returns:
        Each one's facts, (N,) in the order of the text, on the CPU; see :func:`summarise`.
    """
    context, target = held_out.cut(limit)
    # Short contexts repeat: each distinct one is computed once, exactly.
    rows = np.ascontiguousarray(context)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, index, place = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(place, kind="stable")  # windows, those of one context together
    size = _FORWARD
    if device.type == "cuda":
        size = max(1, _GPU_FORWARD // held_out.context_length)
    bounds = np.searchsorted(place[order], np.arange(0, len(index) + size, size))
    parts: list[list[dict[str, Tensor]]] = []
    for first, begin, end in zip(range(0, len(index), size), bounds[:-1], bounds[1:], strict=False):
        distinct = context[index[first : first + size]]
        windows = order[begin:end]
        parts.append(
            _score(
                score,
                reference,
                torch.from_numpy(distinct.astype(np.int64)).to(device),
                torch.from_numpy(place[windows].astype(np.int64) - first).to(device),
                torch.from_numpy(target[windows].astype(np.int64)).to(device),
            )
        )
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    return [
        {key: torch.cat([part[key] for part in own])[back].flatten() for key in own[0]}
        for own in zip(*parts, strict=True)
    ]


def _score(
    score: Scorers, reference: Scorer | None, distinct: Tensor, places: Tensor, target: Tensor
) -> list[dict[str, Tensor]]:
    """Compute each policy's facts of windows that share distinct contexts.

    Args:
        score: The policies.
        reference: What they are compared with, or None.
        distinct: (U,H+L) contexts.
        places: (W,) which of them each window has.
        target: (W,stride) characters to be predicted.

    Returns:
        (W,stride) each, on the CPU.
    """
    stride = target.shape[1]
    ref = None if reference is None else reference(distinct, stride)
    scored = score(distinct, stride)  # (U,stride,V) each
    return [position_facts(logprobs.float(), ref, places, target) for logprobs in scored]


def position_facts(
    logprobs: Tensor, ref: Tensor | None, places: Tensor, target: Tensor
) -> dict[str, Tensor]:
    """Compute a policy's facts at each position, for :func:`summarise`.

    Args:
        logprobs: (U,stride,V) fp32, of distinct contexts.
        ref: (U,stride,V) that it is compared with, or None.
        places: (W,) which of the contexts each window has.
        target: (W,stride).

    Returns:
        (W,stride) each, on the CPU.
    """
    probs = logprobs.exp()
    confidence, choice = probs.max(-1)
    shared = {"entropy": -(probs * logprobs).sum(-1), "confidence": confidence}  # (U,stride)
    if ref is not None:
        shared["kl_ref"] = (probs * (logprobs - ref)).sum(-1)
        shared["kl_from_ref"] = (ref.exp() * (ref - logprobs)).sum(-1)
    facts = {key: value[places] for key, value in shared.items()}
    scored, wanted = logprobs[places], target.unsqueeze(-1)  # (W,stride,V), (W,stride,1)
    log_target = scored.gather(-1, wanted).squeeze(-1)  # (W,stride)
    facts["nll"] = -log_target
    facts["rank"] = 1 + (scored > log_target.unsqueeze(-1)).sum(-1).float()
    facts["margin"] = log_target - scored.scatter(-1, wanted, -math.inf).amax(-1)
    facts["correct"] = (choice[places] == target).float()
    facts["brier"] = probs.square().sum(-1)[places] - 2 * log_target.exp() + 1
    return {key: value.cpu() for key, value in facts.items()}


def summarise(facts: dict[str, Tensor]) -> Evaluation:
    """Average per-position facts.

    Args:
        facts: (N,) each: ``nll entropy confidence correct brier``, optionally ``rank``, ``margin``,
            ``kl_ref`` and ``kl_from_ref``.
    """
    nats = facts["nll"].double().mean().item()
    entropy = facts["entropy"].double()
    reliability = reliability_curve(facts["confidence"], facts["correct"])
    ece = sum(
        weight * abs(confidence - accuracy)
        for confidence, accuracy, weight in zip(
            reliability["confidence"], reliability["accuracy"], reliability["weight"], strict=True
        )
    )
    confident = facts["confidence"] > CONFIDENT
    gap = 0.0
    if bool(confident.any()):
        gap = (facts["confidence"][confident] - facts["correct"][confident]).mean().item()
    quantiles = np.quantile(entropy.numpy(), [0.1, 0.9])
    metrics = {
        "val/nats": nats,
        "val/perplexity": math.exp(min(nats, 700.0)),
        "val/bits": nats / math.log(2),
        "val/accuracy": facts["correct"].double().mean().item(),
        "val/ece": ece,
        "val/brier": facts["brier"].double().mean().item(),
        "val/entropy": entropy.mean().item(),
        "health/entropy_p10": float(quantiles[0]),
        "health/entropy_p90": float(quantiles[1]),
        "health/entropy_below_0.1_share": (entropy < 0.1).double().mean().item(),
        "health/confident_share": confident.double().mean().item(),
        "health/collapse_gap": gap,
        "health/entropy_gap": nats - entropy.mean().item(),
    }
    for key in ("rank", "margin", "kl_ref", "kl_from_ref"):
        if key in facts:
            metrics[f"val/{key}"] = facts[key].double().mean().item()
    return Evaluation(metrics, reliability)


def reliability_curve(confidence: Tensor, correct: Tensor) -> dict[str, list[float]]:
    """Sort predictions by confidence into bins of equal mass.

    Args:
        confidence: (N,) probability of the most probable character.
        correct: (N,) 1.0 where it was the text's.

    Returns:
        Mean ``confidence``, ``accuracy`` and share (``weight``) of each of 15 bins; fewer for
        fewer positions.
    """
    order = confidence.argsort(stable=True)
    bins = min(CALIBRATION_BINS, len(order))
    curve: dict[str, list[float]] = {"confidence": [], "accuracy": [], "weight": []}
    for part in torch.tensor_split(order, bins):
        curve["confidence"].append(confidence[part].double().mean().item())
        curve["accuracy"].append(correct[part].double().mean().item())
        curve["weight"].append(len(part) / len(order))
    return curve
