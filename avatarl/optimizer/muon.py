"""Muon for the hidden matrices, AdamW for everything else (embeddings, norms, gates).

Source: Jordan et al. 2024, *Muon: an optimizer for hidden layers*; torch.optim.Muon with the step
size matched to AdamW's RMS, so that one learning rate serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from typing_extensions import override

from avatarl.bf16 import WITHOUT, slowdown
from avatarl.optimizer import adamw, base
from avatarl.optimizer.batched_muon import BatchedMuon
from avatarl.optimizer.uncompiled import uncompiled

_Muon, _BatchedMuon = uncompiled(torch.optim.Muon), uncompiled(BatchedMuon)


@dataclass(frozen=True)
class Config(base.Config):
    """AdamW's settings and Muon's momentum."""

    momentum: Annotated[float, Ge(0), Lt(1)]

    @override
    def build(self, parameters: dict[str, torch.Tensor]) -> list[torch.optim.Optimizer]:
        hidden = {
            name: weight
            for name, weight in parameters.items()
            if weight.dim() == 2 and name.startswith("blocks.")
        }
        rest = {name: weight for name, weight in parameters.items() if name not in hidden}
        if not hidden:
            return [adamw.fused_adamw(self, rest)]
        options: dict[str, Any] = {
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "momentum": self.momentum,
            "adjust_lr_fn": "match_rms_adamw",
        }
        device = next(iter(parameters.values())).device
        kind: type[torch.optim.Optimizer] = _Muon
        if device.type == "cuda":
            kind, options["lr"] = BatchedMuon, torch.tensor(self.lr, device=device)
        elif slowdown(device) > WITHOUT:
            kind, options["products_in"] = _BatchedMuon, torch.float32
        muon = kind([{"params": list(hidden.values()), "base_lr": self.lr}], **options)
        return [muon, adamw.fused_adamw(self, rest)]
