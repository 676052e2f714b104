"""A leaderboard in a git repository: entries are files, a trusted CI job scores them again, nothing in them is executed."""
