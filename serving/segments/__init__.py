"""Segments by day: definitions, counts in a process of their own, one visitor's answer, the night's record."""
