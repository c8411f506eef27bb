"""The columns of effects that are pooled over offers, as `odds` and `lines` fit them: n x F numbers instead of n x O F.

A row has a level, where it starts, and, with an offer, what is common to offers and what is the offer's own. The last
is 0 for all other offers, so sums of columns times columns are taken offer by offer, and equations are solved so: each
offer's own block is eliminated before what all share (a bordered block diagonal; Golub & Van Loan, "Matrix
computations", 4.5).

Of many fields few tell whom an offer moves. One width for all would hold these back as much as the rest, so a field's
coefficients (the common one; those of each offer together) are Student's t around 0: their width is the field's own,
found from what rows say and drawn to that of others (automatic relevance determination: MacKay 1992, Tipping 2001; by
steps of expectation and maximisation as in Gelman, Jakulin, Pittau & Su 2008, "A weakly informative default prior
distribution for logistic and other regression models").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.effects.rows import Floats, Rows

NARROW = 1e11
"""A precision from which on a coefficient is 0."""
TAILS, ROUNDS = 1.0, 4
"""Degrees of freedom of Student's t (1: Cauchy), and how often widths are told anew."""


@dataclass(frozen=True, slots=True)
class Design:
    """Of n rows. small: [n, 1 + 1 + (1) + Z]: 1, where the row starts, what a rule says of its action (where there are
    rules), what effects may go by. offset: [n], what the rule says. places: of each action (the last is none), which
    of all columns it has, and which of `small` these are. many: P, all columns: c0, c1, a, a_o, k, k_o, b, b_o, those
    with k where there are rules, b_o where offers differ in what moves whom. width: Z; own: the first column of b_o, P
    where there are none."""

    small: Floats
    offset: Floats
    action: NDArray[np.int64]
    places: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    many: int
    width: int
    own: int

    @classmethod
    def of(cls, rows: Rows, at: Floats, table: Floats, told: Floats | None, *, own: bool) -> Design:
        """at: [n], where rows start; table: [n, Z]; told: [n, O], what rules say, or None; own: with b_o."""
        offers, width, ruled = rows.offers, table.shape[1], told is not None
        given = rows.action >= 0
        offset = np.zeros(len(rows))
        if told is not None:
            offset[given] = told[given, rows.action[given]]
        small = np.hstack([np.ones((len(rows), 1)), at[:, None], *([offset[:, None]] if ruled else []), table])
        z = np.arange(2 + ruled, 2 + ruled + width)
        first = 3 + offers + ruled * (1 + offers)
        places = []
        for offer in range(offers):
            columns, kept = [0, 1, 2, 3 + offer], [0, 1, 0, 0]
            if ruled:
                columns, kept = [*columns, 3 + offers, 4 + offers + offer], [*kept, 2, 2]
            columns, kept = [*columns, *range(first, first + width)], [*kept, *z]
            if own:
                begin = first + width * (1 + offer)
                columns, kept = [*columns, *range(begin, begin + width)], [*kept, *z]
            places.append((np.array(columns), np.array(kept)))
        places.append((np.array([0, 1]), np.array([0, 1])))
        shared = first + width
        return cls(small, offset, rows.action, tuple(places), shared + width * own * offers, width, shared)

    def take(self, which: NDArray[Any]) -> Design:
        """Some rows."""
        small, offset, action = (array[which] for array in (self.small, self.offset, self.action))
        return replace(self, small=small, offset=offset, action=action)

    def __matmul__(self, theta: Floats) -> Floats:
        """[n]: columns times `theta` [P]."""
        each = np.zeros((len(self.places), self.small.shape[1]))
        for row, (columns, kept) in enumerate(self.places):
            np.add.at(each[row], kept, theta[columns])
        return np.asarray(np.einsum("ij,ij->i", self.small, each[self.action]))

    def sums(self, weight: Floats, left: Floats) -> tuple[Floats, Floats]:
        """Columns times columns [P, P], columns times `left` [P]; rows weighed."""
        gram, moment = np.zeros((self.many, self.many)), np.zeros(self.many)
        for row, (columns, kept) in enumerate(self.places):
            own = self.action == (row if row < len(self.places) - 1 else -1)
            small = self.small[own]
            weighed = small * weight[own][:, None]
            gram[np.ix_(columns, columns)] += (weighed.T @ small)[np.ix_(kept, kept)]
            moment[columns] += (weighed.T @ left[own])[kept]
        return gram, moment

    def solved(self, gram: Floats, moment: Floats, precision: Floats) -> Floats:
        """[P]: the ridge solution, of columns that are normal around 0 with these precisions; what has (nearly) no
        width is 0, and not solved for: the columns of b_o are by far the most."""
        return self._normal(gram, moment, precision, spread=False)[0]

    def reach(self, gram: Floats, moment: Floats, precision: Floats) -> Floats:
        """[P]: how many times as wide as usual a field's coefficients are, and 1 for other columns. precision: [P],
        what is usual. Squares are 1 on average: how wide all are is not told here."""
        found = np.ones(self.many)
        first = self.own - self.width
        parts = [part for part in (slice(first, self.own), slice(self.own, self.many)) if part.stop > part.start]
        for _ in range(ROUNDS):
            mean, variance = self._normal(gram, moment, precision / found**2, spread=True)
            square = precision * (mean**2 + variance)
            for part in parts:
                of_field = square[part].reshape(-1, self.width)
                width = (TAILS + of_field.sum(axis=0)) / (TAILS + len(of_field))
                found[part] = np.tile(np.sqrt(width), len(of_field))
        for part in parts:
            found[part] /= np.sqrt(np.mean(found[part] ** 2))
        return found

    def _normal(self, gram: Floats, moment: Floats, precision: Floats, *, spread: bool) -> tuple[Floats, Floats]:
        """Means and, where asked for, variances of the coefficients, [P] each."""
        mean, variance = np.zeros(self.many), np.zeros(self.many)
        wide = np.flatnonzero(precision[: self.own] < NARROW)
        inner, left = gram[np.ix_(wide, wide)] + np.diag(precision[wide]), moment[wide]
        if self.own == self.many or precision[self.own] >= NARROW:
            mean[wide] = np.linalg.solve(inner, left)
            variance[wide] = np.diag(np.linalg.inv(inner)) if spread else 0.0
            return mean, variance
        blocks = np.arange(self.own, self.many).reshape(-1, self.width)
        own = gram[blocks[:, :, None], blocks[:, None, :]] + precision[blocks][:, :, None] * np.eye(self.width)
        border = gram[blocks[:, :, None], wide]
        inverse = np.linalg.inv(own)
        across, alone = inverse @ border, np.einsum("oyz,oz->oy", inverse, moment[blocks])
        inner = inner - np.tensordot(border, across, ((0, 1), (0, 1)))
        mean[wide] = np.linalg.solve(inner, left - np.tensordot(border, alone, ((0, 1), (0, 1))))
        mean[blocks] = alone - across @ mean[wide]
        if spread:
            of_shared = np.linalg.inv(inner)
            variance[wide] = np.diag(of_shared)
            of_own = np.einsum("ozz->oz", inverse)
            variance[blocks] = of_own + np.einsum("ozs,ozs->oz", across @ of_shared, across)
        return mean, variance


def shifts_of(table: Floats, told: Floats | None, theta: Floats, offers: int, *, own: bool) -> Floats:
    """[n, O]: what each offer adds: the columns from a on times theta. table, told: as in `Design.of`."""
    found, theta = theta[0] + np.tile(theta[1 : 1 + offers], (len(table), 1)), theta[1 + offers :]
    if told is not None:
        found += told * (1 + theta[0] + theta[1 : 1 + offers])
        theta = theta[1 + offers :]
    many = table.shape[1]
    found += (table @ theta[:many])[:, None]
    if own:
        found += table @ theta[many:].reshape(offers, many).T
    return np.asarray(found)
