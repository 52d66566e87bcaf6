"""The parts of an override: ``+KEY=VALUE``, ``~KEY``, ``GROUP@PLACE=OPTION``."""

from __future__ import annotations

from avatarl.text import shortened


def key_of(word: str) -> str:
    """The key or group, without what is done to it."""
    return word.partition("=")[0].lstrip("+~")


def value_of(word: str) -> str:
    """The value as typed; empty where there is none."""
    return word.partition("=")[2]


def setting(key: str, value: str) -> str:
    """Name a setting in a message, as it was typed."""
    return f"{shortened(key)}='{shortened(value)}'"


def groups() -> tuple[str, ...]:
    """The groups that options are chosen from."""
    from avatarl.config import GROUPS

    return (*GROUPS, "search", "hydra/launcher", "hydra/sweeper")
