"""A night's plan as files: what is written is opened, what is broken says so, who is forgotten leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted_plan import planned

from portraits.errors import BrokenBundle, InvalidValue
from recommender.bundles.files import MANIFEST
from recommender.offers.plan_files import ARRAYS, OfferPlan, without_users, write_plan

GAIN = [[1, 2], [3, 4], [5, 6], [7, 8]]
USERS = ("chen", "lin", "zoe")
LONG = "x" * 60


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "offers"
    arrays, manifest = planned(GAIN, np.ones((4, 2)), users=USERS, offers=("cash", "tea"), prices={"": 0.5, "tea": 2.0})
    write_plan(folder, arrays, manifest)
    return folder


def test_what_was_written_is_opened(written: Path) -> None:
    plan = OfferPlan.open(written)
    assert plan.offers == ("cash", "tea")
    assert plan.prices == {"": 0.5, "tea": 2.0}
    assert [plan.gain[plan.row(user)].tolist() for user in (*USERS, "stranger", LONG)] == [*GAIN, GAIN[-1]]
    assert plan.weight.tolist() == [1.0] * 4


@pytest.mark.parametrize("name", [*(f"{name}.npy" for name in ARRAYS), MANIFEST])
def test_a_broken_file_is_named(written: Path, name: str) -> None:
    whole = (written / name).read_bytes()
    (written / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BrokenBundle, match=name):
        OfferPlan.open(written)
    (written / name).unlink()
    with pytest.raises(BrokenBundle, match=name):
        OfferPlan.open(written)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("gain", np.zeros((3, 2), np.float32)),
        ("cost", np.zeros((4, 2), np.float64)),
        ("shift", np.zeros((1, 2), np.float32)),
        ("seen", np.zeros((4, 3), np.uint8)),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path: Path, name: str, given: np.ndarray[Any, Any]) -> None:
    arrays, manifest = planned(GAIN, np.ones((4, 2)), users=USERS, offers=("cash", "tea"))
    with pytest.raises(InvalidValue, match=name):
        write_plan(tmp_path / "offers", arrays | {name: given}, manifest)
    assert not (tmp_path / "offers").exists()


def test_who_is_forgotten_leaves_and_nobody_else_changes(written: Path, tmp_path: Path) -> None:
    before = OfferPlan.open(written)
    assert without_users(before, ["lin", "nobody", LONG], tmp_path / "less") == 1
    after = OfferPlan.open(tmp_path / "less")
    assert after.row("lin") == after.row("stranger") == 2
    for user in ("chen", "zoe", "stranger"):
        assert after.gain[after.row(user)].tolist() == before.gain[before.row(user)].tolist()
    assert b"lin" not in (tmp_path / "less" / "users.npy").read_bytes()
    assert after.prices == before.prices
