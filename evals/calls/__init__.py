"""One call to a model: what it asks for, its pace, its deadline."""
