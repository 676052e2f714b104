"""A run: request, plan, runner, batch endpoints, progress; scoring again what is recorded."""
