"""Baskets of themes: what is in one basket goes together, the next basket has another theme, and some things are taken
every time."""

from __future__ import annotations

import numpy as np

THEMES, OF_A_THEME = 25, 8
Row = tuple[str, str]


def baskets(users: int = 300, each: int = 4) -> list[list[list[Row]]]:
    """Each user's baskets: two things of their own, taken every time, and four of a theme."""
    rng = np.random.default_rng(0)
    return [
        [
            [(f"u{user:03d}", f"own{user % 40}{side}") for side in "ab"]
            + [(f"u{user:03d}", f"t{theme}-{thing}") for thing in rng.choice(OF_A_THEME, 4, replace=False)]
            for theme in rng.choice(THEMES, each, replace=False)
        ]
        for user in range(users)
    ]
