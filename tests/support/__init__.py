"""Helpers of the tests: fake servers, scripted models, made data."""
