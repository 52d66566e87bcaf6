"""Let the other runs go on, up to ``max_failures`` failed ones."""

from __future__ import annotations

from dataclasses import dataclass

from avatarl.sweep.failure.policy import FailurePolicy


@dataclass(frozen=True)
class Policy(FailurePolicy):
    """A failed run costs the sweep nothing but itself."""
