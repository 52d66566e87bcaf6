"""The result of a run: a flat mapping, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA = 1
NGRAM_LEVELS = ("unigram", "bigram", "trigram", "ngram4")
#: Numbers of a result that measure nothing.
NO_METRICS = frozenset(
    {
        "schema", "id_schema", "seed", "claim", "members",
        "val/stride", "val/least_context", "headline/step",
    }
)  # fmt: skip


class Result(Mapping[str, Any]):
    """What ``result.json`` holds, by its flat keys, such as ``val/nats``.

    Attributes:
        directory: Of the run.
    """

    def __init__(self, directory: Path, values: Mapping[str, Any]) -> None:
        self.directory = directory
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        """Return one figure."""
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show the headline figures."""
        return (
            f"Result({self['name']}-{self['run_id']}: {self['val/nats']:.4f} nats, "
            f"accuracy {self['val/accuracy']:.4f}, {self._files()})"
        )

    def _files(self) -> Path:
        here, place = Path.cwd(), Path(self.directory)
        return place.relative_to(here) if place.is_relative_to(here) else place

    def _repr_html_(self) -> str:
        """Show a notebook the run among the n-grams it should beat."""
        from avatarl import notebook

        levels = {level: f"ngram/{level}" for level in NGRAM_LEVELS}
        places = {f"{self.get('name')}-{self.get('run_id')}": "val", **levels}
        figures = ("nats", "accuracy", "ece", "entropy")
        rows = [
            [name, *(_figure(self.get(f"{place}/{figure}")) for figure in figures)]
            for name, place in places.items()
        ]
        alarms = ", ".join(map(str, self.get("alarms") or ()))
        notes = [f"files: {self._files()}", *([f"alarms raised: {alarms}"] if alarms else [])]
        return notebook.table(("", *figures), rows, notes=notes)


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else ""
