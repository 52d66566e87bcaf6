from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from avatarl import composition
from avatarl.training.tabular import Tabular

# How often each of five characters follows each of three contexts.
COUNTS = torch.tensor([[5, 3, 1, 1, 0], [0, 8, 1, 0, 1], [2, 2, 2, 2, 2]])


@pytest.fixture
def truth() -> torch.Tensor:
    return COUNTS / COUNTS.sum(-1, keepdim=True)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 5, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def tabular() -> Callable[..., Tabular]:
    def make(
        *overrides: str,
        counts: torch.Tensor = COUNTS,
        reference: torch.Tensor | None = None,
        replays: int = 1,
    ) -> Tabular:
        soft = [] if reference is not None else ["reference=none"]
        config = composition.compose(["data=folio", "tracking=files", *soft, *overrides])
        return Tabular(config, counts, reference, replays)

    return make
