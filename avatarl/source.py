"""Where the project's own files lie: a clone, a frozen copy of it, or an installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
#: The folder that holds the package ``avatarl``: of a clone, or ``site-packages``.
ROOT = _PACKAGE.parent


def settings_folder(root: Path, name: str) -> Path:
    """Return ``conf`` or ``sweeps`` of a source: a wheel has them inside the package."""
    inside = root / "avatarl" / name
    return inside if inside.is_dir() else root / name


#: Every group's options, and what Hydra is told.
CONF = settings_folder(ROOT, "conf")
#: Sweeps that are kept in files.
SWEEPS = settings_folder(ROOT, "sweeps")
