"""A failure policy for tests: whatever dies is started again, at once and as often as it takes."""

from __future__ import annotations

from collections.abc import Sequence

from avatarl.sweep.failure.faults import Fault
from avatarl.sweep.failure.policy import Fail, FailurePolicy, Retry


class Policy(FailurePolicy):
    def decide(self, faults: Sequence[Fault]) -> Retry | Fail:
        last = faults[-1]
        return Retry(0.0) if last.kind == "infrastructure" else Fail(last.reason)
