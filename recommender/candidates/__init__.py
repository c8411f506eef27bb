"""Candidate sources, one a file; `SOURCES` is the registry that training, evaluation and the contract tests go over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from portraits.errors import UnknownName
from recommender.candidates.again import Again
from recommender.candidates.alike import Alike
from recommender.candidates.als import Als
from recommender.candidates.bpr import Bpr
from recommender.candidates.crowd import Crowd
from recommender.candidates.due import Due
from recommender.candidates.follows import Follows
from recommender.candidates.friends import Friends
from recommender.candidates.hybrid import Hybrid
from recommender.candidates.linear import Linear
from recommender.candidates.popular import Popular, RecentPopular
from recommender.candidates.protocol import Source
from recommender.candidates.similar import RecentSimilar, Similar
from recommender.candidates.spectral import Spectral
from recommender.candidates.text import Text
from recommender.candidates.touched import Touched

SOURCES: Mapping[str, type[Source]] = {
    source.name: source
    for source in (
        Popular,
        RecentPopular,
        Again,
        Due,
        Touched,
        Similar,
        RecentSimilar,
        Follows,
        Linear,
        Spectral,
        Alike,
        Als,
        Bpr,
        Hybrid,
        Text,
        Crowd,
        Friends,
    )
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
