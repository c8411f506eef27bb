from __future__ import annotations

import pytest

from portraits.sessions import SILENCE_US, begins


@pytest.mark.parametrize(
    ("silence_us", "is_launch", "entrance", "previous", "expected"),
    [
        (SILENCE_US, False, "", "1047", False),
        (SILENCE_US + 1, False, "", "1047", True),
        (1, True, "1047", "1047", False),
        (1, True, "1089", "1047", True),
        (1, True, "", "1047", False),
        (1, True, "1089", "", False),
        (1, False, "1089", "1047", False),
    ],
    ids=["30 minutes", "longer", "same entrance", "another", "untold", "first told", "not a launch"],
)
def test_begins(silence_us: int, is_launch: bool, entrance: str, previous: str, expected: bool) -> None:
    assert begins(silence_us, is_launch, entrance, previous) is expected
