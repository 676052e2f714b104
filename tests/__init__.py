"""The tests; they mirror the packages. Helpers are in `support/`."""
