"""Records -> numbers: metrics, statistics, estimates."""
