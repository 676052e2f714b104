"""Another harness's own code judges the replies of a run."""
