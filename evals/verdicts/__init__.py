"""Two runs and more: paired, compared, ranked; policies planned, candidates gated, races stopped when decided."""
