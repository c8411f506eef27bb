"""From what the sources say to one list: pools of candidates, signals, blend, ranker, and which of them is served."""
