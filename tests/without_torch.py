"""A pytest plugin for where torch isn't installed: what imports it is skipped."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pytest


class _Skips(MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "torch":
            pytest.skip("needs torch", allow_module_level=True)


sys.meta_path.insert(0, _Skips())
