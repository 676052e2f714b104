"""The published extraction rules of other projects, including their defects, and frozen older rules of our own."""
