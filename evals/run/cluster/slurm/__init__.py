"""Replicas as Slurm jobs: `--cluster slurm`.

`submission` submits the jobs through submitit, `node` is what a job runs, `link` connects the driver to it, `scheduler`
queries Slurm for the states of jobs, `detach` runs the driver itself as a job. Slurm itself places and requeues the jobs.
"""
