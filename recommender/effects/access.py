"""What visitors buy without an offer who could have had one, beside those who could not.

Who may have an offer (a tier, a limit not used up, hours at which it runs) is another visitor than who may not, in ways
that features do not tell. Every row of none tells what is bought without an offer; where an offer is compared with rows
in which it could not be given, that difference would be taken for its effect. Doubly robust scores leave those rows out
(`scores`). Learners of expectations share the rows of none among all offers; for them the difference is learnt, beside
what features say, and taken from the outcomes as a season is: a line in what could be given, from the rows of none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recommender.effects.means import fit_line
from recommender.effects.rows import FEW, NONE, Rows


def levelled(rows: Rows, seed: int) -> Rows:
    """The rows with what `could` says of their outcomes added to their season; as they are where it says nothing: no
    offer that `FEW` rows of none could have had and `FEW` could not."""
    none = rows.action == NONE
    could = rows.could[none]
    tells = np.flatnonzero((could.sum(axis=0) >= FEW) & ((~could).sum(axis=0) >= FEW))
    settled = rows.settled[none]
    if not len(tells) or float(np.ptp(settled)) == 0.0:
        return rows
    table = np.hstack([rows.X[none], could[:, tells].astype(np.float32)])
    line = fit_line(table, settled, rows.weight[none], seed)
    unknown = np.full(rows.X.shape, np.nan, np.float32)
    said = line(np.hstack([unknown, rows.could[:, tells].astype(np.float32)]))
    return replace(rows, season=rows.season + said - float(np.average(said, weights=rows.weight)))
