"""Stop the sweep at the first run that fails for good."""

from __future__ import annotations

from dataclasses import dataclass

from avatarl.sweep.failure.policy import FailurePolicy


@dataclass(frozen=True)
class Policy(FailurePolicy):
    """A failed run shows a mistake that the other runs are likely to share."""

    def stops_sweep(self, failures: int) -> bool:
        """Whether any run has failed."""
        return failures > 0
