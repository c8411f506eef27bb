"""Law 11, refused: under whichever id and whenever the ids were linked, at once in no answer, by night in no file.

Ann buys as u000 and has a phone of which no night has heard.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted_shelf import Night, item
from published_shop import ALL, EVEN, open_published_shop
from small_shop import END, USERS, purchase
from sqlalchemy import select, text

from portraits.build import build
from portraits.forgotten import SOMEBODY
from portraits.history import EVENTS
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.segments.nights import nights
from recommender.bundles.bundle import Bundle, write_bundle
from serving.cli import main
from serving.drain import drain, keep_to_switches
from serving.everything import everything
from serving.forgetting import leave_refusing
from serving.imports import take_file
from serving.publish import bundle_folder, portraits_folder, publish, rollback
from serving.rights import turn
from serving.segments.night import folder_of, remember
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.schema import catalogue

pytestmark = pytest.mark.law

ANN, PHONE = "u000", "phone"
Say = Callable[[Store], object]


def refuses(user_id: str) -> Say:
    return lambda store: store.upsert("shop", "users", [{"user_id": user_id, "consent": False}])


def linked(store: Store) -> object:
    return store.upsert("shop", "identities", [{"link_id": "l1", "user_id": ANN, "anonymous_id": PHONE}])


SAID: dict[str, tuple[Say, ...]] = {
    "as herself": (refuses(ANN),),
    "on the phone, linked before": (linked, refuses(PHONE)),
    "on the phone, linked after": (refuses(PHONE), linked),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after a night."""
    home = tmp_path_factory.mktemp("planted") / "home"
    _, store, _ = open_published_shop(home)
    store.close()
    return home


@pytest.fixture
def process(planted: Path, tmp_path: Path) -> ProcessSettings:
    return ProcessSettings(home=Path(shutil.copytree(planted, tmp_path / "home")), secret="only for tests")


@pytest.fixture
def store(process: ProcessSettings) -> Iterator[Store]:
    opened = Store.open(process.store_url)
    yield opened
    opened.close()


@pytest.fixture
def run(
    process: ProcessSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """`huaxiang ... --app shop --json` in this process."""
    monkeypatch.setenv("HUAXIANG_HOME", str(process.home))

    def told(*arguments: object) -> Any:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--app", "shop", "--json"])
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return json.loads(said.out)

    return told


@pytest.mark.parametrize("how", SAID)
def test_a_refusal_leaves_every_answer_at_once(
    store: Store, run: Callable[..., Any], tmp_path: Path, *, how: str
) -> None:
    everyone, few, odd = (tmp_path / f"{name}.json" for name in ("all", "few", "odd"))
    everyone.write_text(json.dumps(ALL))
    few.write_text(json.dumps({"not": EVEN}))
    odd.write_text(json.dumps(EVEN))

    def answers() -> dict[str, Any]:
        out = tmp_path / "out.parquet"
        said: dict[str, Any] = {"preview": run("segments", "preview", "--rule", everyone)}
        said["compare"] = run("segments", "compare", "loyal", "--rule", everyone)
        for name, command in (
            ("export", ("segments", "export", "--rule", everyone)),
            ("portraits", ("portraits", "export")),
            ("alike", ("segments", "lookalike", "--rule", few, "--n", USERS)),
            ("like her", ("segments", "lookalike", "--rule", odd, "--n", USERS)),
        ):
            said[name] = run(*command, "--out", out) | {"users": set(pq.read_table(out)["user_id"].to_pylist())}
        return said

    before = answers()
    assert all(ANN in before[name]["users"] for name in ("export", "portraits", "alike"))
    for say in SAID[how]:
        say(store)
    after = answers()
    for name in ("export", "portraits", "alike"):
        assert before[name]["users"] - after[name]["users"] == {ANN}
        assert ANN not in after[name]["users"]
    assert ANN not in after["like her"]["users"]
    assert after["like her"]["members"] == before["like her"]["members"] - 1
    assert (after["preview"]["total"], after["preview"]["base"]) == (USERS - 1, USERS - 1)
    assert [after["compare"][name] for name in ("one", "other", "both", "base")] == [USERS - 1] * 4


def test_who_refused_before_the_night_and_is_linked_after_it_is_left_out(
    process: ProcessSettings, store: Store, run: Callable[..., Any], tmp_path: Path
) -> None:
    refuses(PHONE)(store)
    lake = Lake(process.lake)
    build(lake.snapshot("shop"), store.app("shop"), END, tmp_path / "made")
    publish(process, store, "shop", as_of=END, portraits=tmp_path / "made")
    rule = tmp_path / "all.json"
    rule.write_text(json.dumps(ALL))
    assert run("segments", "preview", "--rule", rule)["base"] == USERS
    linked(store)
    assert run("segments", "preview", "--rule", rule)["base"] == USERS - 1
    assert run("portraits", "export", "--out", tmp_path / "out.parquet")["rows"] == USERS - 1


@pytest.mark.parametrize("how", SAID)
def test_by_night_a_refusal_leaves_every_night_that_was_kept(
    process: ProcessSettings, store: Store, tmp_path: Path, *, how: str
) -> None:
    """Also one of a past moment, when nobody had refused yet."""
    lake, app = Lake(process.lake), store.app("shop")
    assert in_night(lake) == [USERS]
    build(lake.snapshot("shop"), app, END - timedelta(days=20), tmp_path / "made")
    for say in SAID[how]:
        say(store)
    told = remember(store, lake, app, tmp_path / "made")
    assert in_night(lake) == [USERS - 1, USERS - 1]
    kept = nights(folder_of(lake, "shop"))
    assert told["members"] == kept[0].members
    assert [night.base for night in kept] == [USERS - 1, USERS - 1]
    assert kept[1].members["loyal"] == USERS - 1


def in_night(lake: Lake) -> list[int]:
    """Visitors of each kept night; none of them Ann, where one is missing."""
    users = [pq.read_table(night.path)["user_id"].to_pylist() for night in nights(folder_of(lake, "shop"))]
    assert all((ANN in some) == (len(some) == USERS) for some in users)
    return [len(some) for some in users]


@pytest.mark.parametrize("on", [False, True])
def test_no_import_turns_the_visitors_own_switch(
    process: ProcessSettings, store: Store, tmp_path: Path, *, on: bool
) -> None:
    """Not a file whose import was cut short, either: then the lake says otherwise, and the store has not heard."""
    lake, app = Lake(process.lake), store.app("shop")
    linked(store)
    store.upsert("shop", "users", [{"user_id": ANN, "consent": not on, "points": 3}])
    with store.write() as connection:
        turn(connection, "shop", PHONE, on=on)
    path = tmp_path / "users.jsonl"
    path.write_text("".join(json.dumps({"user_id": one, "consent": not on}) + "\n" for one in (ANN, PHONE, "u003")))
    import_file(lake, app, "users", path)

    def consents() -> list[bool]:
        return [store.state("shop", one).consent for one in (ANN, PHONE)]

    assert consents() == [on, on]
    as_of = datetime.now(UTC)
    drain(store, lake, "shop", lambda _: None)
    keep_to_switches(store, lake, "shop", as_of)
    people = build(lake.snapshot("shop"), app, as_of, tmp_path / "made")
    assert (people.get(ANN) is not None) is on
    assert (people.get("u003") is not None) is not on
    take_file(store, lake, "shop", "users", path)
    assert consents() == [on, on]
    assert keep_to_switches(store, lake, "shop", datetime.now(UTC)) == 0 or consents() == [on, on]


def test_nothing_that_earlier_nights_left_holds_who_refuses(
    process: ProcessSettings, store: Store, tmp_path: Path
) -> None:
    """But for who refused there is still a bundle to roll back to, and an active one that knows the others."""
    run = process.runs / "shop" / "this-night"
    for folder in (run, run.with_name("last-night")):
        folder.mkdir(parents=True)
    users = [f"u{number:03}" for number in range(USERS)]
    for number in range(3):
        night = Night([item("i01", title="Tea")], popular=[("i01", 1.0)], bought={one: ["i01"] for one in users})
        made = tmp_path / f"bundle-{number}"
        write_bundle(made, night.arrays(), night.manifest)
        publish(process, store, "shop", as_of=END, bundle=made, version=f"b{number}")
    people = Lake(process.lake).snapshot("shop")
    build(people, store.app("shop"), END, tmp_path / "made")
    publish(process, store, "shop", as_of=END, portraits=tmp_path / "made", version="p1")
    assert leave_refusing(process, store, "shop", run) == []
    assert (holding(process), run.with_name("last-night").exists()) == ({"b0", "b1", "b2", "p1", "night"}, True)
    refuses(ANN)(store)
    for _ in range(2):
        assert leave_refusing(process, store, "shop", run) == []
        assert holding(process) == set()
        assert not run.with_name("last-night").exists()
    active = store.active("shop")
    assert active.bundle is not None
    assert active.portraits is not None
    assert (active.bundle.version, active.portraits.version) == ("b2-r1", "p1-r1")
    assert PortraitSet(portraits_folder(process, "shop", "p1-r1")).get("u001") is not None
    assert rollback(process, store, "shop", "b1") == "b1"
    kept = Bundle.open(bundle_folder(process, "shop", "b1"))
    assert (len(kept.users), kept.users.index(ANN)) == (USERS - 1, -1)


def holding(process: ProcessSettings) -> set[str]:
    """Versions on disk that hold Ann; `night` for the first portraits, whose name nobody chose."""
    bundles = [path.parent for path in process.bentoml.rglob("users.npy")]
    found = {folder.name for folder in bundles if Bundle.open(folder).users.index(ANN) >= 0}
    for folder in (process.portraits / "shop").iterdir():
        if PortraitSet(folder).get(ANN) is not None:
            found.add(folder.name if folder.name.startswith("p1") else "night")
    return found


def test_nobody_is_told_of_as_who_brought_somebody(
    process: ProcessSettings, store: Store, run: Callable[..., Any], tmp_path: Path
) -> None:
    lake = Lake(process.lake)
    came = {"type": "share_open", "user_id": "kid", "referrer_user_id": ANN, "ts": END - timedelta(days=2)}
    events = [came | {"event_id": "came"}, purchase("kid-1", "kid", "i01", END - timedelta(days=1))]
    lake.append("shop", "events", pa.Table.from_pylist(events, schema=EVENTS.arrow_schema()), "test")
    build(lake.snapshot("shop"), store.app("shop"), END, tmp_path / "made")
    publish(process, store, "shop", as_of=END, portraits=tmp_path / "made", version="p1")
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps({"field": "brought_by", "op": "=", "value": ANN}))

    def told() -> list[Any]:
        run("portraits", "export", "--out", tmp_path / "out.parquet")
        exported = {row["user_id"]: row["brought_by"] for row in pq.read_table(tmp_path / "out.parquet").to_pylist()}
        shown = run("portraits", "show", "kid")["brought_by"]
        return [shown, exported["kid"], run("segments", "preview", "--rule", rule)["total"]]

    rows = list(everything(process, store, "shop", "kid"))
    assert ANN not in str(rows)
    assert {row["brought_by"] for table, row in rows if table == "portrait"} == {SOMEBODY}
    assert told() == [ANN, ANN, 1]
    linked(store)
    refuses(PHONE)(store)
    assert told() == [None, None, 0]


def test_who_refused_since_is_found_by_an_index(store: Store) -> None:
    """A marketer's question asks it each time: it must not walk through all visitors."""
    store.upsert("shop", "users", [{"user_id": f"v{number}"} for number in range(2000)])
    now_us = max(row.changed_us for row in store.read(select(catalogue.c.changed_us)))
    refuses("late")(store)
    assert store.refused("shop", 2**40, now_us + 1) == ["late"]
    late = "(change_seq > 1 OR changed_us >= 1)"
    query = f"SELECT key, payload FROM catalogue WHERE app_id = 'shop' AND name = 'users' AND {late}"
    plan = [row.detail for row in store.read(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert any("catalogue_changed" in line for line in plan), plan
