"""`huaxiang offers export`, from customer files to effects: what was planted comes back, the same each time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from portraits.errors import NothingThere
from portraits.settings import AppSettings
from recommender.offers.export import SCHEMA
from serving.cli import main
from serving.plan_export import export_plan
from serving.settings import ProcessSettings
from serving.stores import Store

SENT = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
CUSTOMERS = 1_500
OFFERS = ("ten", "twenty")
PLANTED = {"ten": 0.35, "twenty": 0.45}
"""What the offer adds to the chance to buy of whom it persuades: of the young the first, of the new the second."""


def _customers() -> list[dict[str, object]]:
    """One row a customer: two declared features, one of two offers or none at random, and what came of it."""
    rng = np.random.default_rng(3)
    found: list[dict[str, object]] = []
    for number in range(CUSTOMERS):
        young, new = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
        given = (None, *OFFERS)[rng.integers(3)]
        chance = 0.15 + _effect(given, young, new)
        spent = int(rng.integers(3_000, 6_000)) if rng.random() < chance else 0
        found.append({"id": f"c{number:05}", "young": young, "new": new, "given": given, "spent": spent})
    return found


def _effect(offer: str | None, young: bool, new: bool) -> float:
    return {"ten": PLANTED["ten"] * young, "twenty": PLANTED["twenty"] * new}.get(offer or "", 0.0)


def _write(folder: Path, name: str, rows: list[dict[str, object]]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def _files(folder: Path) -> dict[str, Path]:
    users, decisions, events = [], [], []
    for row in _customers():
        own = {"user_id": row["id"]}
        users.append(own | {"attributes": {"young": row["young"], "new": row["new"], "noise": len(str(row["id"]))}})
        entry = {"source": "none"} if row["given"] is None else {"offer_id": row["given"], "position": 1}
        decision = {"decision_id": f"d-{row['id']}", "ts": SENT.isoformat(), "policy": "test"}
        decisions.append(own | decision | {"candidates": [entry | {"propensity": 1 / 3}]})
        if row["spent"]:
            later = (SENT + timedelta(hours=5)).isoformat()
            bought = {"event_id": f"p-{row['id']}", "type": "purchase", "ts": later, "amount": row["spent"]}
            events.append(own | bought | {"order_id": f"o-{row['id']}"})
    offers: list[dict[str, object]] = [
        {"offer_id": "ten", "kind": "cash", "value": 100, "title": "1 off"},
        {"offer_id": "twenty", "kind": "cash", "value": 200, "title": "2 off"},
        {"offer_id": "over", "kind": "cash", "value": 100, "ends": (SENT - timedelta(days=1)).isoformat()},
    ]
    named = {"users": users, "decisions": decisions, "events": events, "offers": offers}
    return {name: _write(folder, name, rows) for name, rows in named.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home into which the customer files were imported."""
    folder = tmp_path_factory.mktemp("customers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUAXIANG_HOME", str(folder / "home"))
        _call("app", "add", "shop")
        for name, path in _files(folder).items():
            _call("import", name, "--app", "shop", "--from", str(path))
    return folder / "home"


def _call(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert not ended.value.code


@pytest.fixture(scope="module")
def exported(home: Path) -> Path:
    """The file that `huaxiang offers export` writes right after the imports."""
    out = home.parent / "plan.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUAXIANG_HOME", str(home))
        _call("offers", "export", "--app", "shop", "--out", str(out))
    return out


def test_from_import_to_effects_in_two_commands(exported: Path) -> None:
    rows = pq.read_table(exported)
    assert rows.schema.names == SCHEMA.names
    assert len(rows) == CUSTOMERS * len(OFFERS), "the offer that is over is not planned"
    known = {str(row["id"]): row for row in _customers()}
    for offer in OFFERS:
        own = rows.filter(np.array(rows["offer_id"].to_pylist()) == offer)
        customers = [known[user] for user in own["user_id"].to_pylist()]
        planted = np.array([_effect(offer, bool(row["young"]), bool(row["new"])) for row in customers])
        told = own["uplift"].to_numpy()
        assert spearmanr(told, planted).statistic > 0.5
        assert (told[planted > 0] > 0).mean() > 0.95
        assert told[planted > 0].mean() == pytest.approx(PLANTED[offer], rel=0.35)
        assert abs(told[planted == 0].mean()) < 0.1


def test_who_is_persuaded_is_given_the_offer_that_persuades(exported: Path) -> None:
    rows = pq.read_table(exported).to_pylist()
    known = {str(row["id"]): row for row in _customers()}
    chosen = [row for row in rows if row["chosen"]]
    assert len(chosen) > CUSTOMERS / 2
    only: dict[str, list[str]] = {"ten": [], "twenty": []}
    for row in chosen:
        customer = known[row["user_id"]]
        if customer["young"] != customer["new"]:
            only["ten" if customer["young"] else "twenty"].append(row["offer_id"])
    assert all(np.mean([given == offer for given in told]) > 0.9 for offer, told in only.items())
    assert all(row["expected_profit"] == row["uplift_money"] - row["expected_cost"] for row in chosen)
    assert all(0 <= row["propensity"] <= 1 for row in rows)
    assert np.mean([row["propensity"] for row in chosen]) > 0.5


@pytest.mark.law
def test_the_same_files_and_seed_give_the_same_export_without_who_refused_since(
    home: Path, exported: Path, tmp_path: Path
) -> None:
    process = ProcessSettings(home=home)
    store = Store.open(process.store_url)
    store.upsert("shop", "users", [{"user_id": "c00007", "consent": False}])
    again = export_plan(process, store, "shop", tmp_path / "again.parquet")
    first = pq.read_table(exported)
    assert (again.rows, again.published) == (len(first) - len(OFFERS), False)
    assert pq.read_table(tmp_path / "again.parquet").equals(first.filter(pc.field("user_id") != "c00007"))


def test_what_is_not_planned_is_named(home: Path, tmp_path: Path) -> None:
    process = ProcessSettings(home=tmp_path / "empty")
    process.make_home()
    store = Store.open(process.store_url)
    store.add_app(AppSettings("shop"))
    with pytest.raises(NothingThere, match="history"):
        export_plan(process, store, "shop", tmp_path / "plan.csv")
