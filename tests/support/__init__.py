"""Test helpers: fake servers, scripted models, generated data."""
