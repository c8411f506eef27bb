"""Columns kept by offer say what the same columns written out whole say."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.effects.design import Design, shifts_of
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


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("ruled", [False, True])
@pytest.mark.parametrize("without", ["nothing", "some", "own"])
def test_it_solves_what_the_whole_would(without: str, ruled: bool, own: bool) -> None:
    """What has no width is 0 and changes nothing."""
    rows, at, table, told = shop(ruled)
    design = Design.of(rows, at, table, told, own=own)
    gram, moment = design.sums(np.ones(SIZE), at)
    precision = np.random.default_rng(9).uniform(0.5, 4.0, design.many)
    if without == "some":
        precision[[3, 5]] = 1e12
    if without == "own":
        precision[design.own :] = 1e12
    found = design.solved(gram, moment, precision)
    assert found == pytest.approx(np.linalg.solve(gram + np.diag(precision), moment), abs=1e-8)
    assert (found[precision > 1e11] == 0).all()


def test_the_field_that_tells_reaches_farthest() -> None:
    rows, at, table, _ = shop(ruled=False)
    design = Design.of(rows, at, table, None, own=True)
    apart = np.where(rows.action >= 0, table[:, 2] * (rows.action - 1) * 2, 0.0)
    reach = design.reach(*design.sums(np.ones(SIZE), apart + 0.5 * rows.outcome), np.full(design.many, 10.0))
    own = reach[design.own :].reshape(OFFERS, WIDTH)
    assert own.argmax(axis=1).tolist() == [2] * OFFERS
    assert (own == own[0]).all()
    assert (own[0, 2] > 2 * own[0, [0, 1, 3]]).all()
    assert np.mean(own**2) == pytest.approx(1)
    assert (reach[: design.own - WIDTH] == 1).all()


def test_no_field_has_no_reach() -> None:
    rows, at, table, _ = shop(ruled=False)
    design = Design.of(rows, at, table[:, :0], None, own=True)
    assert (design.reach(*design.sums(np.ones(SIZE), at), np.ones(design.many)) == 1).all()
