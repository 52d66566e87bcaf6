"""Hydra's way in: launchers that delegate to :mod:`avatarl.sweep`."""
