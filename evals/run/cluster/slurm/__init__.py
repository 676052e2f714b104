"""Replicas as Slurm jobs: `--cluster slurm`.

`submission` submits the jobs through submitit, `node` is what a job runs, `link` connects the driver to a job, `scheduler`
queries Slurm for the states of jobs, and `detach` runs the driver itself as a job. Slurm places and requeues the jobs.
"""
