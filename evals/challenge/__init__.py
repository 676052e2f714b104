"""Challenges: whether the claimed model could have written the recorded replies of a run."""
