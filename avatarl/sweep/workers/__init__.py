"""Worker processes that compute runs, on this machine or inside a SLURM job."""
