"""A stand-in text that any machine can write."""

from __future__ import annotations

CHARACTERS = 1_000_000
SEED = 1


def write_text(characters: int, seed: int) -> str:
    """Placeholder."""
    raise NotImplementedError
