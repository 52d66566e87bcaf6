from __future__ import annotations

from typing import Any

import pytest

from avatarl import composition


@pytest.fixture
def raw() -> dict[str, Any]:
    """The resolved defaults on the embedded text, as plain data."""
    return composition.compose(["data=folio", "data.characters=20000", "tracking=files"]).raw
