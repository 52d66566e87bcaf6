"""The edge to Hydra: from what a user typed to checked configurations.

Sweeps are composed by :mod:`avatarl.composition.sweep`, which a single run does without.
"""

from avatarl.composition.errors import describe_error, is_about_words
from avatarl.composition.run import (
    check_choices,
    compose,
    control_of,
    identify,
    register_resolvers,
    resolve,
    sweep_name,
)
from avatarl.source import CONF

__all__ = [
    "CONF",
    "check_choices",
    "compose",
    "control_of",
    "describe_error",
    "identify",
    "is_about_words",
    "register_resolvers",
    "resolve",
    "sweep_name",
]
