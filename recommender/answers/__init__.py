"""The day: from a request to a shelf, in plain NumPy."""
