"""The edge to Hydra: from what a user typed to checked configurations.

Sweeps are composed by :mod:`avatarl.composition.sweep`, which a single run does without.
"""

from avatarl.composition.errors import describe_error, is_about_words
from avatarl.composition.run import (
    check_choices,
    compose,
    control_of,
    identify,
    is_of_sweeps,
    register_resolvers,
    resolve,
    sweep_name,
)
from avatarl.composition.steering import aim_of, in_words, objective, steering
from avatarl.source import CONF

__all__ = [
    "CONF",
    "aim_of",
    "check_choices",
    "compose",
    "control_of",
    "describe_error",
    "identify",
    "in_words",
    "is_about_words",
    "is_of_sweeps",
    "objective",
    "register_resolvers",
    "resolve",
    "steering",
    "sweep_name",
]
