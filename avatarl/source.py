"""Where source lies: the project's own, and that of options that users keep elsewhere."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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


def options_of(group: str) -> list[str]:
    """The options of a group that are shipped; empty for what is no group."""
    if not re.fullmatch(r"[a-z_/]{1,40}", group):
        return []
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def is_elsewhere(module: object) -> bool:
    """Whether a ``kind`` names a module that isn't the project's."""
    return isinstance(module, str) and "." in module and not module.startswith("avatarl.")


def modules_elsewhere(raw: Mapping[str, Any]) -> Iterator[str]:
    """The modules of others that a run's settings name, wherever in them."""
    for key, value in raw.items():
        if isinstance(value, Mapping):
            yield from modules_elsewhere(value)
        elif key == "kind" and is_elsewhere(value):
            yield value


def module_sha256(module: str) -> str | None:
    """Hash the source of a module (of a package, all of it); ``None`` where there is none."""
    file = _file(module)
    if file is None:
        return None
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(file.parent).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def package_of(module: str) -> tuple[Path, list[str]]:
    """Return the files of the outermost package that holds a module, so that it can be copied.

    Returns:
        The folder it is imported from, and its files relative to that; none for what has no file.
    """
    file = _file(module)
    if file is None:
        return ROOT, []
    entry = file.parents[module.count(".") + (file.name == "__init__.py")]
    paths = (entry / module.partition(".")[0]).rglob("*.py")
    return entry, sorted(path.relative_to(entry).as_posix() for path in paths)


def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    file = None if spec is None or spec.origin is None else Path(spec.origin)
    return file if file is not None and file.is_file() else None


@functools.cache
def entry_points(group: str) -> dict[str, str]:
    """Return the modules that installed packages offer for a group, by name.

    Args:
        group: Such as ``avatarl.reward``.
    """
    from importlib import metadata  # only where a name isn't ours: it takes its time

    return {point.name: point.module for point in metadata.entry_points(group=group)}
