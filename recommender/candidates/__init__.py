"""Candidate sources, one a file; `SOURCES` is the registry that training, evaluation and the contract tests go over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from portraits.errors import UnknownName
from recommender.candidates.again import Again
from recommender.candidates.als import Als
from recommender.candidates.bpr import Bpr
from recommender.candidates.hybrid import Hybrid
from recommender.candidates.popular import Popular, RecentPopular
from recommender.candidates.protocol import Source
from recommender.candidates.similar import RecentSimilar, Similar
from recommender.candidates.touched import Touched

SOURCES: Mapping[str, type[Source]] = {
    source.name: source for source in (Popular, RecentPopular, Again, Touched, Similar, RecentSimilar, Als, Bpr, Hybrid)
}
"""Every source by its name, in the order in which bundles number them."""


Params = Mapping[str, Mapping[str, Any]]
"""Parameters of sources that differ from their defaults, by source."""


def make(names: Iterable[str], params: Params = MappingProxyType({})) -> list[Source]:
    """Unfitted sources by name, in registry order. Raises UnknownName."""
    wanted = set(names)
    for name in sorted(wanted - set(SOURCES)):
        raise UnknownName("candidate source", name, SOURCES)
    return [SOURCES[name](**params.get(name, {})) for name in SOURCES if name in wanted]


__all__ = ["SOURCES", "Params", "Source", "make"]
