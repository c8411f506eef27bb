"""Offers: who may have which, what each would change, who gets which under a budget, and what came of it."""
