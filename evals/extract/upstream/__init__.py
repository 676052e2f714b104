"""The published extraction rules of other harnesses, with documentation of their defects."""
