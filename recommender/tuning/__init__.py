"""Parameters by measure: a search inside a budget, which remembers earlier nights."""
