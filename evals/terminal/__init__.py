"""Text output of commands: tables that fit the terminal, runs, samples. Functions return lines; they do not print."""
