"""The metrics that suites declare, in a module that suites of other packages can import."""

from evals.report.metrics import (
    MajAt,
    PassAt,
    accuracy,
    accuracy_guess,
    at_repeats,
    mean_value,
    repeat_metrics,
)

__all__ = ["MajAt", "PassAt", "accuracy", "accuracy_guess", "at_repeats", "mean_value", "repeat_metrics"]
