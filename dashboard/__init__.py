"""The dashboard: shows a results folder in a browser, without writing to it."""
