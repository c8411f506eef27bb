"""What needs no model: counts of the history that become lists of the bundle."""
