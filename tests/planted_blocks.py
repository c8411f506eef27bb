"""Planted shops of arrays: users and items in blocks, so that the right answer is known by construction."""

from __future__ import annotations

import numpy as np

from recommender.history.dataset import DAY_US, Dataset

ITEMS_A_BLOCK = 8


def checkerboard(users_a_block: int = 20, blocks: int = 3, seed: int = 0) -> Dataset:
    """Every user took every item of their own block, except one: user n of a block lacks item n modulo the block.

    So that one item is what a personal source should propose first among what is new. Times are spread over 100 days.
    """
    user, item = [], []
    for number in range(users_a_block * blocks):
        block, within = divmod(number, users_a_block)
        for place in range(ITEMS_A_BLOCK):
            if place != within % ITEMS_A_BLOCK:
                user.append(f"u{number:03d}")
                item.append(f"i{block}{place}")
    ts = np.random.default_rng(seed).integers(0, 100 * DAY_US, len(user))
    return Dataset.from_arrays(user, item, ts, until_us=100 * DAY_US)


def missing_item(dataset: Dataset, row: int, users_a_block: int = 20) -> int:
    """Row of the one item of their block that a user of `checkerboard` lacks."""
    block, within = divmod(row, users_a_block)
    return int(np.searchsorted(dataset.items, f"i{block}{within % ITEMS_A_BLOCK}".encode()))


def shop(users: int = 150, items: int = 40, days: int = 60, seed: int = 0, start_us: int = 0) -> Dataset:
    """Visitors of two tastes who look around and buy, mostly within their half of the range, and buy again.

    Item popularity falls with its number, so that popularity is a rival and taste still wins.
    """
    rng = np.random.default_rng(seed)
    rows = users * days // 2
    user = rng.integers(0, users, rows)
    rank = np.minimum((rng.pareto(1.2, rows) * 3).astype(int), items // 2 - 1)
    strays = rng.random(rows) < 0.1
    item = 2 * rank + (user % 2 ^ strays)
    again = rng.random(rows) < 0.4
    favourite = 2 * (user * 7 % (items // 2)) + user % 2
    item = np.where(again, favourite, item)
    ts = start_us + rng.integers(0, days * DAY_US, rows)
    kinds = np.where(rng.random(rows) < 0.6, "purchase", "item_view")
    return Dataset.from_arrays(
        [f"u{number:04d}" for number in user],
        [f"i{number:03d}" for number in item],
        ts,
        kinds.tolist(),
        until_us=start_us + days * DAY_US,
    )


def tiny(name: str) -> Dataset:
    """Histories at the edge of what is one: "one user", "one item", "empty", "one second"."""
    if name == "empty":
        return Dataset.from_arrays([], [], np.empty(0, np.int64))
    if name == "one user":
        return Dataset.from_arrays(["ann"] * 5, list("abcab"), np.arange(5) * DAY_US)
    if name == "one item":
        return Dataset.from_arrays([f"u{n}" for n in range(5)], ["a"] * 5, np.arange(5) * DAY_US)
    board = checkerboard()
    return Dataset.from_arrays(board.users[board.user], board.items[board.item], np.zeros(len(board.user), np.int64))


TINY = ("one user", "one item", "empty", "one second")
