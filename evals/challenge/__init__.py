"""Challenges: whether the claimed model can have written the recorded replies of a run."""
