"""What an action causes, told from data with propensities: learners of effects, curves, values of policies."""
