"""Runs: request, plan, runner, batch endpoints, progress, rescoring."""
