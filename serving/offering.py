"""An app's offers as its requests see them: rules, the night's plan, and which column of the plan each offer has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.offers.plan_files import EXPOSURES_TOLD, OfferPlan
from recommender.offers.rulebook import NO_RULES, Rulebook
from serving.stores.nights import Version


@dataclass(frozen=True, slots=True)
class Offering:
    """All of one moment; what is new makes another, so that a request that waits keeps what belongs together.

    offers: rows of the catalogue, `rulebook`: their rules. plan: of the portraits `version`, None where there is none,
    or one that could not be opened (`problem`). columns: of the plan, by number of the rulebook; -1 for an offer that
    the night did not know.
    """

    offers: Sequence[Mapping[str, Any]] = ()
    rulebook: Rulebook = NO_RULES
    plan: OfferPlan | None = None
    version: Version | None = None
    problem: str | None = None
    columns: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))

    def renewed(
        self,
        offers: Sequence[Mapping[str, Any]],
        version: Version | None,
        plan: OfferPlan | None,
        problem: str | None,
    ) -> Offering:
        """With other offers or another plan; rules that are the same are not read again."""
        rulebook = self.rulebook if offers == self.offers else Rulebook(offers)
        known = {} if plan is None else {offer_id: column for column, offer_id in enumerate(plan.offers)}
        columns = np.array([known.get(offer_id, -1) for offer_id in rulebook.ids], np.intp)
        return Offering(offers, rulebook, plan, version, problem, columns)

    @property
    def exposures_told(self) -> bool:
        """Whether the app tells what visitors see of offers, as far as a night knows."""
        return self.plan is not None and bool(self.plan.manifest.get(EXPOSURES_TOLD, True))

    def row_of(self, ids: Sequence[str]) -> int:
        """The row of the plan that knows one of these ids of a person, the person's own first; else the stranger's.
        Of no meaning without a plan."""
        if self.plan is None:
            return 0
        stranger = len(self.plan.users)
        return next((row for one in ids if (row := self.plan.row(one)) < stranger), stranger)

    def weighed(self, row: int) -> NDArray[np.bool_]:
        """By number of the rulebook: whether the plan says what the offer is worth to the visitor of a row, so that the
        price decides and not the rule alone."""
        if self.plan is None or not self.plan.offers:
            return np.zeros(len(self.rulebook), bool)
        found: NDArray[np.bool_] = (self.columns >= 0) & self.plan.eligible[row].take(self.columns)
        return found


NO_OFFERING = Offering()
