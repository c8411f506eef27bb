"""Segments: rules over everyone, and what a marketer asks of the visitors that they choose."""
