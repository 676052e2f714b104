"""A leaderboard in a git repository: entries are files that a trusted CI job rescores without executing anything in them."""
