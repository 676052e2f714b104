"""Replicas as Slurm jobs: `--cluster slurm`.

`submission` submits the jobs through submitit, `node` is what a job runs, `link` connects the driver to it, `scheduler`
asks Slurm what became of jobs, `detach` runs the driver itself as a job. Slurm places and requeues; nothing here does.
"""
