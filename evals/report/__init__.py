"""From records to estimates: metrics, statistics, intervals."""
