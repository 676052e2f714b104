"""Scorers, a file per kind. Each turns (sample, prompt, reply) into a `Score`; only the judge calls a model."""
