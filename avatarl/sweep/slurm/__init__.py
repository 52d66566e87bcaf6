"""Sweeps on SLURM: packs, submissions, the process in a job, looking on."""
