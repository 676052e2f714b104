"""Text output of commands: tables that fit the terminal, runs, single samples. Functions return lines and print nothing."""
