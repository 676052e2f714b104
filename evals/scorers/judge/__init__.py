"""Judge models: prompts, parsing of verdicts, combination with a rule, and agreement statistics."""
