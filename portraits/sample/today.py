"""What every step of one day needs: the shop, its visits, what is wanted, luck, and where events go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample.goods import DayDemand
from portraits.sample.rows import Array, Rows
from portraits.sample.shop import Shop
from portraits.sample.visits import Visits


@dataclass
class Today:
    """One day under way. `rows` collects its events; `shop` changes as they happen."""

    shop: Shop
    day: int
    visits: Visits
    demand: DayDemand
    rng: np.random.Generator
    rows: Rows

    def tell(self, kind: str, visit: Array, at: Array, **columns: Array | int) -> None:
        """Events of one type in visits `visit`, with what every event of a visit carries."""
        facts: dict[str, Array | int] = {**self.visits.facts(self.shop, visit), **columns}
        self.rows.add(kind, self.visits.known_as[visit], at, **facts)
