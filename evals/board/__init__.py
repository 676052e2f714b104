"""A leaderboard in a git repository: a trusted CI job rescores entries, which are files, without executing their content."""
