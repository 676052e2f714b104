"""Score the replies of a run with another harness's own code."""
