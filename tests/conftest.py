from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tinyshakespeare_path() -> Path:
    """The real text, from $AVATARL_DATA_DIR; tests that need it skip without."""
    folder = os.environ.get("AVATARL_DATA_DIR")
    if not folder:
        pytest.skip("needs tinyshakespeare: AVATARL_DATA_DIR is not set")
    path = Path(folder) / "tinyshakespeare.txt"
    if not path.is_file():
        pytest.skip(f"needs tinyshakespeare: no {path.name} in AVATARL_DATA_DIR={folder}")
    return path.resolve()  # tests work in folders of their own
