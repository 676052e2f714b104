"""One call to a model: request, concurrency, deadline, back-off, secrets."""
