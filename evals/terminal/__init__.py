"""Text output of commands: tables, runs and samples, fitted to the terminal. Functions return lines; they do not print."""
