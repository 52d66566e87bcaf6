"""What ``search=NAME`` sets, and at which steps of a run that is looked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from avatarl.errors import ConfigError
from avatarl.options import Later, read

#: More runs than any sweep has would be wanted for more rungs.
_MOST_RUNGS = 20


@dataclass(frozen=True)
class Aim:
    """What is wanted of a run; conf/search/ says what each means."""

    name: str
    metric: str
    insist: Annotated[bool, Later(False)]


@dataclass(frozen=True)
class Stopping(Aim):
    """Which runs are put down, and when; conf/search/ says what each means."""

    eta: Annotated[float, Gt(1), Le(1000)]
    rungs: Annotated[int, Ge(1), Le(_MOST_RUNGS)] | list[Annotated[float, Gt(0), Lt(1)]]
    brackets: Annotated[int, Ge(1)]
    synchronous: bool
    paused_checkpoints: Annotated[int, Ge(0)] | None

    def __post_init__(self) -> None:
        """Refuse shares that don't ascend, and a bracket without a rung to begin at."""
        if isinstance(self.rungs, list) and self.rungs != sorted({*self.rungs}):
            raise ConfigError("rungs", self.rungs, f"ascending shares: {sorted({*self.rungs})}")
        if not self.shares:
            raise ConfigError("rungs", self.rungs, "a number >= 1, or shares of a run's steps")
        if self.brackets > len(self.shares) + 1:
            valid = f"1 to {len(self.shares) + 1}, one a rung and one for runs that go to their end"
            raise ConfigError("brackets", self.brackets, valid)

    @property
    def shares(self) -> list[float]:
        """At which shares of a run's steps its rungs are, ascending."""
        if isinstance(self.rungs, list):
            return self.rungs
        return [self.eta**-rung for rung in range(self.rungs, 0, -1)]

    def steps(self, steps: int, eval_every: int) -> tuple[int, ...]:
        """Steps at which a run is put down, and its last: rungs are evaluations.

        Args:
            steps: Of the whole run.
            eval_every: Steps between its evaluations.

        Raises:
            ConfigError: A rung isn't between two others, the start and the end.
        """
        # Less a hair, as 1/3 of 600 is 200 and not a little more.
        found = [math.ceil(share * steps / eval_every - 1e-9) * eval_every for share in self.shares]
        rungs = (*found, steps)
        for lower, higher in itertools.pairwise(rungs):
            if lower >= higher:
                shares = ", ".join(f"{share:.3g}" for share in self.shares)
                why = (
                    f"at {shares} of {steps} steps, evaluated every {eval_every}, there is no "
                    f"evaluation of its own for each: {', '.join(map(str, rungs))}"
                )
                valid = "fewer or other rungs, or a smaller trainer.eval_every"
                raise ConfigError("search.rungs", self.rungs, valid, why)
        return rungs


def load(raw: Mapping[str, Any]) -> Aim | Stopping:
    """Read what ``search`` holds; an :class:`Aim` alone: nothing is put down.

    Raises:
        ConfigError: A key is unknown, missing, of the wrong type or out of range.
    """
    return read(Aim if raw.get("name") == "none" else Stopping, raw, "search")
