"""Sweeps: a list of runs, planned first, each computed once, on this machine or on SLURM.

Nothing in this package imports torch when it is itself imported; training happens in worker
processes (:mod:`avatarl.sweep.workers.worker`).
"""
