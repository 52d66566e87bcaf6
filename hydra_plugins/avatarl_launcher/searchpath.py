"""Lets Hydra find the sweeps that are shipped, by name alone."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from avatarl.source import SWEEPS


class ShippedSweeps(SearchPathPlugin):
    """``-cn demo`` is ``sweeps/demo.yaml``; whatever lies in the user's own folders comes first."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder of sweeps behind all others."""
        search_path.append("avatarl", f"file://{SWEEPS}")
