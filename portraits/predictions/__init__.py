"""What each visitor will probably do next, with calibrated probabilities, and on what ground that is said."""
