"""The source that computes a run, gathered for a tracker that keeps it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avatarl.source import CONF, ROOT, modules_elsewhere, package_of


@contextlib.contextmanager
def gathered(raw: Mapping[str, Any]) -> Iterator[str]:
    """Copy the package, its settings and the packages of others that a run names, for a while.

    Args:
        raw: The whole resolved configuration.
    """
    with tempfile.TemporaryDirectory(prefix="avatarl-code-") as folder:
        package = [path.relative_to(ROOT).as_posix() for path in (ROOT / "avatarl").rglob("*.py")]
        sources = [(ROOT, package), *(package_of(module) for module in modules_elsewhere(raw))]
        for root, files in sources:
            for file in files:
                target = Path(folder, file)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / file, target)
        shutil.copytree(CONF, Path(folder, "conf"), dirs_exist_ok=True)
        yield folder
