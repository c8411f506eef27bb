"""Columns kept by offer say what the same columns written out whole say."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.effects.design import Design, shifts_of, solved
from recommender.effects.rows import Floats, Rows, rows_of

OFFERS, WIDTH, SIZE = 3, 4, 200


def shop(ruled: bool) -> tuple[Rows, Floats, Floats, Floats | None]:
    """rows, where they start, what effects may go by, what rules say."""
    rng = np.random.default_rng(3)
    action = rng.integers(-1, OFFERS, SIZE)
    rows = rows_of(rng.normal(size=(SIZE, 2)), action, np.full(SIZE, 0.25), rng.normal(size=SIZE), OFFERS)
    told = rng.normal(size=(SIZE, OFFERS)) if ruled else None
    return rows, rng.normal(size=SIZE), rng.normal(size=(SIZE, WIDTH)), told


def whole(rows: Rows, at: Floats, table: Floats, told: Floats | None, own: bool) -> Floats:
    """[n, P]: the columns as the docstring names them."""
    given = (rows.action >= 0).astype(float)[:, None]
    which = (rows.action[:, None] == np.arange(OFFERS)).astype(float)
    parts = [np.ones((SIZE, 1)), at[:, None], given, which]
    if told is not None:
        by_rule = which * told
        parts += [by_rule.sum(axis=1, keepdims=True), by_rule]
    parts.append(given * table)
    if own:
        parts += [which[:, [offer]] * table for offer in range(OFFERS)]
    return np.hstack(parts)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("ruled", [False, True])
def test_it_is_the_table_written_out(ruled: bool, own: bool) -> None:
    rows, at, table, told = shop(ruled)
    design, every = Design.of(rows, at, table, told, own=own), whole(rows, at, table, told, own)
    rng = np.random.default_rng(5)
    theta, weight, left = rng.normal(size=every.shape[1]), rng.random(SIZE), rng.normal(size=SIZE)
    assert design.many == every.shape[1]
    assert design @ theta == pytest.approx(every @ theta)
    gram, moment = design.sums(weight, left)
    assert gram == pytest.approx(every.T @ (every * weight[:, None]))
    assert moment == pytest.approx(every.T @ (weight * left))
    some = rows.action != 1
    assert design.take(some) @ theta == pytest.approx((every @ theta)[some])


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("ruled", [False, True])
def test_shifts_are_what_an_offer_adds(ruled: bool, own: bool) -> None:
    rows, at, table, told = shop(ruled)
    design = Design.of(rows, at, table, told, own=own)
    theta = np.random.default_rng(7).normal(size=design.many)
    added = design @ theta + design.offset - theta[0] - theta[1] * at
    shifts = shifts_of(table, told, theta[2:], OFFERS, own=own)
    given = np.flatnonzero(rows.action >= 0)
    assert added[given] == pytest.approx(shifts[given, rows.action[given]])
    assert added[rows.action < 0] == pytest.approx(0)


def test_what_has_no_width_is_nought_and_changes_nothing() -> None:
    rng = np.random.default_rng(9)
    table = rng.normal(size=(50, 6))
    gram, moment = table.T @ table, table.T @ rng.normal(size=50)
    precision = np.array([1e-3, 1.0, 1e12, 4.0, 1e12, 1e12])
    found = solved(gram, moment, precision)
    assert found == pytest.approx(np.linalg.solve(gram + np.diag(precision), moment), abs=1e-8)
    assert (found[[2, 4, 5]] == 0).all()
