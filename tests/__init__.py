"""The tests; their folders correspond to the packages. Helpers are in `support/`."""
