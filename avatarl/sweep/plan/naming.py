"""What tells the runs of a sweep apart, for people: the words that differ, shared ones once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avatarl.names import resolved_word, said_once, shared_words, short_keys
from avatarl.runs.flatten import flatten
from avatarl.text import printable

if TYPE_CHECKING:
    from avatarl.sweep.plan.planned import PlannedRun

#: What a control's overrides say because it is one.
CONTROL = "objective=cross_entropy"


class Names:
    """The runs of one sweep by what differs between them.

    Attributes:
        said_once: What all runs asked for have in common, in one line; empty where that is nothing.
        headings: A short heading for each key that tells runs apart, by the key.

    Args:
        runs: Of the sweep.
        shared: What runs that are still to come will have in common with them.
    """

    def __init__(self, runs: Sequence[PlannedRun], shared: frozenset[str] = frozenset()) -> None:
        asked = [run.overrides for run in runs if not run.is_control]
        self._shared = shared | shared_words(asked)
        self.said_once = said_once(asked)
        self._words = {run.id: _distinctive(run, self._shared) for run in runs}
        keys = [key for words in self._words.values() for key in words]
        self.headings = short_keys(list(dict.fromkeys(keys)))

    def values(self, run: PlannedRun) -> dict[str, str]:
        """A run's values by the keys of ``headings``; keys that it doesn't set are absent."""
        return {key: value for key, (_, value) in self._of(run).items()}

    def label(self, run: PlannedRun) -> str:
        """A run in words that could be typed; its name where nothing differs."""
        words = " ".join(word for word, _ in self._of(run).values())
        if run.is_control:
            return f"{words} (control)" if words else "control"
        return words or printable(run.name)

    def _of(self, run: PlannedRun) -> dict[str, tuple[str, str]]:
        # A search proposes runs while others go on.
        return self._words.get(run.id) or _distinctive(run, self._shared)


def _distinctive(run: PlannedRun, shared: frozenset[str]) -> dict[str, tuple[str, str]]:
    """Word and value of each override that isn't shared, by its key."""
    leaves = flatten(run.config) if any("$" in word for word in run.overrides) else {}
    found = {}
    for typed in run.overrides:
        if typed in shared or (run.is_control and typed == CONTROL):
            continue
        word = printable(resolved_word(typed, leaves.get))
        key, equals, value = word.partition("=")
        found[key.lstrip("+")] = word, value if equals else "yes"
    return found
