"""The extraction rules of other harnesses as published, with their defects documented."""
