"""What a sweep does when runs fail.

A failure policy is one module with a class ``Policy``, derived from :class:`FailurePolicy`:
``hydra.launcher.failure_policy`` names a module of this package, or any importable one by its
dotted name. It answers two questions: what becomes of a run that has failed once more
(:meth:`FailurePolicy.decide`), and whether the sweep goes on (:meth:`FailurePolicy.stops_sweep`).
"""

from avatarl.sweep.failure.policy import SETTINGS, Fail, FailurePolicy, Retry, load

__all__ = ["SETTINGS", "Fail", "FailurePolicy", "Retry", "load"]
