"""Torch's optimisers without what keeps torch's compiler out of them."""

from __future__ import annotations

import inspect
from typing import Any

import torch

_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad", "step")


def uncompiled(kind: type[torch.optim.Optimizer]) -> type[Any]:
    """Return ``kind`` with its methods as they were written, for use outside ``torch.compile``.

    Torch wraps them so that its compiler steps around them, and imports that compiler at their
    first call only to say so: a second of each process's start. Here the network alone is ever
    compiled. What the methods compute stays the same.

    Args:
        kind: For instance ``torch.optim.AdamW``.
    """
    bare: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    bare["step"] = torch.no_grad()(bare["step"])
    return type(kind.__name__, (kind,), bare)
