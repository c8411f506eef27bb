from __future__ import annotations

from typing import Any

import pytest

from portraits.features import REGISTRY
from portraits.features.registry import feature


def spend(lines: Any) -> Any:
    """A second field of that name."""


def undocumented(lines: Any) -> Any: ...


def somewhere(lines: Any) -> Any:
    """A field of a table that does not exist."""


@pytest.mark.parametrize(("compute", "grain"), [(spend, "lines"), (undocumented, "lines"), (somewhere, "nowhere")])
def test_mistakes_are_refused_at_once(compute: Any, grain: str) -> None:
    before = dict(REGISTRY)
    with pytest.raises(ValueError, match=compute.__name__):
        feature(grain, "int64", "units")(compute)
    assert before == REGISTRY
