"""A night's result as files: what is in them, how they are written and opened."""
