"""Law 11, forgotten: the whole linked person, online at once, and after the next night in no file at all.

Zoe has three ids and has left traces wherever a visitor can. Two others have ids like hers, and another app has hers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted_app import Client
from planted_shelf import Night, item
from small_shop import END, open_small_shop, purchase, send
from sqlalchemy import text
from starlette.applications import Starlette

from portraits.engine import connect
from portraits.errors import InvalidValue, NothingThere
from portraits.forgotten import REASON
from portraits.history import EVENTS
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.segments.nights import nights
from portraits.settings import AppSettings
from recommender.bundles.bundle import Bundle, write_bundle
from recommender.train import Trained, train
from serving import night_steps
from serving.app import v1
from serving.cli import main
from serving.context import Context
from serving.everything import everything
from serving.forget import forget
from serving.imports import take_file
from serving.nightly import run_night
from serving.publish import bundle_folder, portraits_folder, rollback, versions
from serving.receipts import sign
from serving.segments.night import folder_of
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.claim_steps import claim
from serving.stores.schema import forgotten
from serving.summary import NightSummary

pytestmark = pytest.mark.law

MAIN, PHONE, ANON = ZOE = ("zoe-main", "zoe-phone", "zoe-anon")
LIKE = ("zoe-mai", "ZOE-MAIN")
BEFORE = END - timedelta(days=1)
SAID = json.dumps({"to": MAIN, "cc": [ANON, "zoe-mai"], "text": f"/p?from={PHONE}&to=1", MAIN: 1, "kept": "zoe"})
"""What another visitor's event says of her."""
UNSAID = {"to": None, "cc": [None, "zoe-mai"], "text": "/p?from=-&to=1", "-": 1, "kept": "zoe"}
BAD = {"event_id": "bad", "user_id": MAIN, "ts": BEFORE.isoformat(), "type": "purchase", "amount": -1}


@dataclass
class Shop:
    """An app on disk and its parts."""

    process: ProcessSettings
    store: Store
    lake: Lake

    def forget(self, user_id: str = PHONE, app_id: str = "shop") -> dict[str, Any]:
        return forget(self.process, self.store, app_id, user_id).to_dict()

    def night(self, **options: Any) -> NightSummary:
        return run_night(self.process, self.store, self.lake, "shop", **{"as_of": END} | options)

    def portrait(self, user_id: str, app_id: str = "shop") -> dict[str, Any] | None:
        version = self.store.active(app_id).portraits
        assert version is not None
        return PortraitSet(portraits_folder(self.process, app_id, version.version)).get(user_id)

    def files_with(self, *texts: str) -> list[str]:
        """Files under the home that hold one of the texts, compressed columns included."""
        return sorted(str(path) for path in self.process.home.rglob("*") if path.is_file() and holds(path, texts))


def holds(path: Path, texts: tuple[str, ...]) -> bool:
    content = path.read_bytes()
    if path.suffix == ".parquet":
        content += str(pq.read_table(path).to_pydict()).encode()
    return any(text.encode() in content for text in texts)


def history(number: int, user_id: str) -> list[dict[str, Any]]:
    return [
        purchase(f"{user_id}-{day}", user_id, f"i{(day + number) % 24:02}", END - timedelta(days=2 + day))
        for day in range(0, 40, 2)
    ]


def live(app_id: str, store: Store, lake: Lake) -> None:
    """Zoe and those with ids like hers, in the lake and in the store."""
    rows = [row for number, user in enumerate((MAIN, ANON, *LIKE)) for row in history(number, user)]
    brought = purchase("brought", LIKE[0], "i01", BEFORE) | {"referrer_user_id": MAIN}
    asked = purchase("asked", LIKE[1], "i01", BEFORE) | {"query": PHONE, "properties": SAID}
    table = pa.Table.from_pylist([*rows, brought, asked], schema=EVENTS.arrow_schema())
    lake.append(app_id, "events", table, "test")
    store.upsert(app_id, "users", [{"user_id": user, "member_tier": "gold"} for user in (MAIN, *LIKE)])
    links = [{"link_id": "l-zoe-main", "user_id": MAIN, "openid": PHONE}, {"link_id": "l2", "openid": PHONE}]
    links[1] |= {"anonymous_id": ANON}
    store.upsert(app_id, "identities", links)
    shared = {"type": "share_open", "referrer_user_id": ANON, "item_id": "i02"}
    wrote = {"query": MAIN, "properties": SAID}
    today = [("t1", PHONE, {}), ("t2", LIKE[0], shared), ("t3", LIKE[1], wrote)]
    send(store, app_id, [viewed(event_id, user) | more for event_id, user, more in today] + [BAD])
    store.upsert(app_id, "offers", [{"offer_id": "o1", "kind": "cash", "value": 500, "budget": 5_000}])
    for user in (PHONE, LIKE[0]):
        wish = {"request_id": f"wish of {user}", "user_id": user, "offer_id": "o1"}
        with store.write() as connection:
            claim(connection, app_id, wish)
    store.upsert(app_id, "offers", [{"offer_id": "o1", "kind": "cash", "ends": BEFORE.isoformat()}])


def rows_of(table: str) -> Any:
    """All rows of a table of the store."""
    return text(f"SELECT * FROM {table}")


def viewed(event_id: str, user_id: str) -> dict[str, Any]:
    ts = (END - timedelta(hours=1)).isoformat()
    return {"event_id": event_id, "user_id": user_id, "ts": ts, "type": "item_view", "item_id": "i03"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after its first night."""
    home = tmp_path_factory.mktemp("planted") / "home"
    process, store, lake = open_small_shop(home)
    live("shop", store, lake)
    run_night(process, store, lake, "shop", as_of=BEFORE)
    send(store, "shop", [viewed("late", ANON), viewed("lately", LIKE[0]) | {"referrer_user_id": PHONE}, BAD])
    store.close()
    return home


@pytest.fixture
def shop(planted: Path, tmp_path: Path) -> Iterator[Shop]:
    process = ProcessSettings(home=Path(shutil.copytree(planted, tmp_path / "home")), secret="only for tests")
    store = Store.open(process.store_url)
    yield Shop(process, store, Lake(process.lake))
    store.close()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`gate(verdict)`: training takes no time and the gate says so; what it would have learnt is not every test's."""

    def says(verdict: str) -> None:
        def train(*arguments: Any, **_: Any) -> Trained:
            folder: Path = arguments[4] / "bundle"
            folder.parent.mkdir(parents=True, exist_ok=True)
            planted = Night([item("i01", title="Tea")], popular=[("i01", 1.0)])
            write_bundle(folder, planted.arrays(), planted.manifest)
            return Trained(folder, verdict, {"gate": {"sentence": "as planted", "comparisons": []}})

        monkeypatch.setattr(night_steps, "train", train)

    return says


@pytest.fixture
def publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is trained, and the gate lets it pass."""

    def judged(*arguments: Any, **options: Any) -> Trained:
        return replace(train(*arguments, **options), verdict="publish")

    monkeypatch.setattr(night_steps, "train", judged)


def test_the_planted_zoe_is_everywhere(shop: Shop) -> None:
    """What is not there cannot be forgotten: the laws below would hold of nothing."""
    home = str(shop.process.home)
    places = {path.removeprefix(home).split("/")[1] for path in shop.files_with(*ZOE)}
    assert {"lake", "portraits", "bentoml", "runs", "store.sqlite"} <= places
    tables = {path.removeprefix(home).split("/")[3] for path in shop.files_with(*ZOE) if "/lake/shop/" in path}
    assert tables == {"events", "users", "identities", "quarantine", "segments"}
    assert shop.portrait(MAIN) is not None


def test_from_the_next_moment_nothing_of_the_person_is_used(shop: Shop) -> None:
    receipt = shop.forget()
    assert (receipt["ids"], receipt["known"], receipt["status"]) == (3, True, "pending")
    assert receipt["pending"]
    for one in ZOE:
        state = shop.store.state("shop", one)
        assert (state.consent, state.recent, state.user, state.ids) == (False, (), None, (one,))
    version = shop.store.active("shop").portraits
    assert version is not None
    assert set(ZOE) <= shop.store.refusing("shop")
    assert set(ZOE) <= set(shop.store.left_out("shop", version))
    names = ("events", "decisions", "rejected", "catalogue", "catalogue_log", "links", "people", "claims")
    rows = [row for name in (*names, "claim_requests")
            for row in shop.store.read(rows_of(name))]  # fmt: skip
    assert not [row for row in rows if "shop" in row and any(one in str(row) for one in ZOE)]
    assert shop.store.state("shop", LIKE[0]).recent
    book = shop.store.offer_books("shop")["o1"]
    assert (book.claims, book.reserved) == (1, 500), "what nobody can use any more is held no more"


def test_the_commands_show_and_export_the_person_no_more(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUAXIANG_HOME", str(shop.process.home))

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--app", "shop"])
        return int(ended.value.code or 0), capsys.readouterr().out

    assert run("portraits", "show", MAIN)[0] == 0
    code, out = run("forget", ANON, "--json")
    assert (code, json.loads(out)["ids"]) == (0, 3)
    assert run("portraits", "show", MAIN)[0] == 1
    assert run("portraits", "show", LIKE[0])[0] == 0
    everyone = tmp_path / "rule.json"
    everyone.write_text(json.dumps({"field": "orders", "op": ">=", "value": 0}))
    for out_file, verb in ((tmp_path / "a.parquet", ("portraits",)), (tmp_path / "b.parquet", ("segments",))):
        rule = ("--rule", str(everyone)) if verb == ("segments",) else ()
        assert run(*verb, "export", "--out", str(out_file), *rule)[0] == 0
        users = pq.read_table(out_file)["user_id"].to_pylist()
        assert not set(ZOE) & set(users)
        assert set(LIKE) <= set(users)
    assert run("forget", PHONE)[1].startswith("zoe-phone: 3 ids forgotten, pending\n")


@pytest.mark.usefixtures("publishing")
def test_after_the_night_no_byte_is_left(shop: Shop) -> None:
    shop.forget()
    assert not [line for line in shop.night().warnings if "forget" in line]
    receipt = shop.forget(MAIN)
    assert (receipt["status"], receipt["pending"], receipt["ids"]) == ("done", [], 3)
    assert shop.files_with(*ZOE) == []
    with pytest.raises(NothingThere):
        rollback(shop.process, shop.store, "shop")
    for user in LIKE:
        assert shop.portrait(user) is not None
    assert len(nights(folder_of(shop.lake, "shop"))) == 2


def test_the_lake_keeps_everybody_else(shop: Shop, gate: Callable[[str], None]) -> None:
    before = events_of(shop)
    shop.forget()
    gate("publish")
    shop.night()
    after = events_of(shop)
    assert {row["user_id"] for row in before} - {row["user_id"] for row in after} == {MAIN, PHONE, ANON}
    written = {"query": None, "properties": UNSAID}
    others = [
        row | {"referrer_user_id": None} | (written if row["event_id"] in ("asked", "t3") else {})
        for row in before
        if row["user_id"] not in ZOE
    ]
    kept = [row for row in after if row["event_id"] not in ("lately",)]
    assert kept == others
    assert all(row["referrer_user_id"] is None for row in after)


def events_of(shop: Shop) -> list[dict[str, Any]]:
    files = shop.lake.snapshot("shop").files("events")
    rows = [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]
    told = [row | {"properties": json.loads(row["properties"] or "null")} for row in rows]
    return sorted(told, key=lambda row: (row["event_id"], row["ts"]))


@pytest.mark.parametrize("rehearsal", [False, True])
def test_what_is_still_served_is_served_without_the_person(
    shop: Shop, gate: Callable[[str], None], *, rehearsal: bool
) -> None:
    """The gate holds the new model back, or the night is one for the past: what is served is what was, but for her."""
    before = bundle_of(shop)
    portraits = shop.store.active("shop").portraits
    shop.forget()
    gate("hold")
    summary = shop.night(as_of=BEFORE - timedelta(days=1) if rehearsal else END - timedelta(hours=2))
    assert summary.status == ("rehearsed" if rehearsal else "held")
    receipt = shop.forget()
    assert (receipt["status"], receipt["pending"]) == ("done", [])
    assert shop.files_with(*ZOE) == []
    after = bundle_of(shop)
    assert after.manifest["version"] == f"{before.manifest['version']}-r1"
    users = [set(one.users.ids(np.arange(len(one.users)))) for one in (before, after)]
    assert users[0] - users[1] == {MAIN}
    of_users = {"users", "bought_indptr", "bought_items", *(name for name in before.arrays if "candidate" in name)}
    same = set(before.arrays) - of_users
    assert all(before.manifest["files"][f"{name}.npy"] == after.manifest["files"][f"{name}.npy"] for name in same)
    for user in ("u001", "u002"):
        rows = before.users.index(user), after.users.index(user)
        assert np.array_equal(before.candidate_items[rows[0]], after.candidate_items[rows[1]])
        assert np.array_equal(before.bought(rows[0]), after.bought(rows[1]))
    assert shop.portrait(MAIN) is None
    now = shop.store.active("shop").portraits
    assert portraits is not None
    assert now is not None
    if rehearsal:
        assert now == portraits._replace(version=f"{portraits.version}-r1")
        kept = PortraitSet(portraits_folder(shop.process, "shop", now.version))
        kept.verify()
        assert kept.get(LIKE[0]) is not None


def bundle_of(shop: Shop) -> Bundle:
    """What is served."""
    version = shop.store.active("shop").bundle
    assert version is not None
    return Bundle.open(bundle_folder(shop.process, "shop", version.version))


def test_what_is_served_and_broken_keeps_the_receipt_pending(shop: Shop, gate: Callable[[str], None]) -> None:
    shop.forget()
    version = shop.store.active("shop").bundle
    assert version is not None
    (bundle_folder(shop.process, "shop", version.version) / "manifest.json").write_text("{}")
    gate("hold")
    summary = shop.night(as_of=END - timedelta(hours=2))
    assert any("forgetting is pending" in line for line in summary.warnings)
    receipt = shop.forget()
    assert (receipt["status"], [what.split()[0] for what in receipt["pending"]]) == ("pending", ["bundle"])
    gate("publish")
    shop.night()
    assert shop.forget()["status"] == "done"


def test_a_bundle_that_was_held_back_before_goes_with_the_person(shop: Shop, gate: Callable[[str], None]) -> None:
    """Also one that was promoted meanwhile: it is as old as its night, and served without her."""
    gate("hold")
    held = [shop.night(as_of=END - timedelta(hours=hours)).version for hours in (4, 3)]
    shop.forget()
    assert {one.version for one in versions(shop.process, shop.store, "shop") if one.held} == set(held)
    rollback(shop.process, shop.store, "shop", held[0])
    summary = shop.night(as_of=END - timedelta(hours=2))
    assert not [line for line in summary.warnings if "forget" in line]
    assert {one.version for one in versions(shop.process, shop.store, "shop")} == {f"{held[0]}-r1", summary.version}
    assert shop.forget()["status"] == "done"


def test_what_comes_again_is_refused_and_counted(shop: Shop, tmp_path: Path, gate: Callable[[str], None]) -> None:
    shop.forget()
    for nights_since in range(2):
        path = tmp_path / "again.csv"
        lines = [
            f"x{nights_since}{place},{user},{BEFORE.isoformat()},item_view" for place, user in enumerate((*ZOE, *LIKE))
        ]
        path.write_text("\n".join(["event_id,user_id,ts,type", *lines, f"broken,{MAIN},when,item_view"]) + "\n")
        report = take_file(shop.store, shop.lake, "shop", "events", path)
        assert (report.rows, report.accepted, report.quarantined) == (6, 2, 4)
        users = tmp_path / "users.jsonl"
        users.write_text("".join(json.dumps({"user_id": one, "points": 5}) + "\n" for one in (MAIN, LIKE[0])))
        report = take_file(shop.store, shop.lake, "shop", "users", users)
        assert (report.rows, report.quarantined) == (2, 1)
        links = tmp_path / "links.jsonl"
        links.write_text(json.dumps({"link_id": "l9", "user_id": LIKE[0], "anonymous_id": ANON}) + "\n")
        assert take_file(shop.store, shop.lake, "shop", "identities", links).quarantined == 1
        assert shop.store.state("shop", MAIN).user is None
        if not nights_since:
            gate("publish")
            shop.night()
            assert shop.forget()["status"] == "done"
    assert not shop.files_with(*ZOE)


def test_over_http_too(shop: Shop) -> None:
    with opened(shop) as (client, context):
        admin = {"authorization": f"Bearer {context.store.add_key('shop', 'admin')}"}

        def ask(path: str, **body: Any) -> dict[str, Any]:
            answer = client.post(f"/v1{path}", json=body, headers=admin)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        assert ask("/recommend", user_id=MAIN, n=5)["items"]
        receipt = ask("/forget", user_id=MAIN)
        assert (receipt["ids"], receipt["status"]) == (3, "pending")
        stranger = ask("/recommend", user_id="stranger", n=5)["items"]
        for one in ZOE:
            assert ask("/recommend", user_id=one, n=5, lang="en")["items"] == stranger
            assert not any(ask("/segments/match", user_id=one)["segments"].values())
        sent = ask("/events", events=[viewed("n1", ANON), viewed("n2", LIKE[0]) | {"referrer_user_id": MAIN}, BAD])
        assert (sent["accepted"], [one["index"] for one in sent["rejected"]]) == (1, [0, 2])
        assert sent["rejected"][0] == {"index": 0, "field": "user_id", "reason": REASON}
        told = ask("/users", users=[{"user_id": MAIN}, {"user_id": "new"}])
        assert told == {"changed": 1, "unchanged": 0, "rejected": [{"index": 0, "reason": REASON}]}
        linked = ask("/identities", identities=[{"link_id": "l8", "user_id": "new", "openid": PHONE}])
        assert linked["rejected"] == [{"index": 0, "reason": REASON}]
        assert ask("/forget", user_id=MAIN) == receipt
    names = ("events", "decisions", "rejected", "catalogue", "catalogue_log", "links", "people")
    rows = [row for name in names for row in shop.store.read(rows_of(name)) if "shop" in row]
    assert not [row for row in rows if any(one in str(row) for one in ZOE)]


class opened:  # noqa: N801 - reads as a verb
    """A client of the app whose writer is closed, all written, at the end."""

    def __init__(self, shop: Shop) -> None:
        self._context = Context.open(shop.process)
        self._client = Client(Starlette(routes=[v1(self._context)]))

    def __enter__(self) -> tuple[Client, Context]:
        return self._client.__enter__(), self._context

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()
        self._context.close()


def test_another_app_with_the_same_ids_is_untouched(shop: Shop) -> None:
    shop.store.add_app(AppSettings("cafe"))
    live("cafe", shop.store, shop.lake)
    before = {name: list(shop.store.read(rows_of(name))) for name in ("events", "catalogue", "links", "people")}
    lake = [path.read_bytes() for path in sorted((shop.process.lake / "cafe").rglob("*.parquet"))]
    shop.forget()
    for name, rows in before.items():
        cafe = [row for row in rows if "cafe" in row]
        assert cafe
        assert [row for row in shop.store.read(rows_of(name)) if "cafe" in row] == cafe
    assert [path.read_bytes() for path in sorted((shop.process.lake / "cafe").rglob("*.parquet"))] == lake
    state = shop.store.state("cafe", PHONE)
    assert (state.user_id, len(state.ids), state.consent) == (MAIN, 3, True)
    marks = shop.store.read(forgotten.select())
    assert {row.app_id for row in marks} == {"shop"}


def test_forgetting_twice_is_once(shop: Shop) -> None:
    first = shop.forget()
    rows = shop.store.read(forgotten.select())
    assert [shop.forget(one) | {"user_id": PHONE} for one in ZOE] == [first] * 3
    assert shop.store.read(forgotten.select()) == rows


def test_asked_again_it_writes_nothing(shop: Shop) -> None:
    """Whoever asks a hundred times keeps no writer waiting; a forgetting that was cut short is taken up again."""
    shop.store.mark("shop", "")
    with shop.store.write() as connection:
        connection.execute(forgotten.insert().values(
            app_id="shop", hash=shop.store.mark("shop", LIKE[1]), person=shop.store.mark("shop", LIKE[1]), at_us=1,
            known=False, status="pending", id=LIKE[1],
        ))  # fmt: skip
    first = shop.forget(LIKE[1])
    assert not [row for row in shop.store.read(rows_of("events")) if LIKE[1] in str(row)]
    with shop.store.write():  # nobody else writes meanwhile
        assert shop.forget(LIKE[1]) == first


def test_who_is_unknown_is_refused_later_all_the_same(shop: Shop) -> None:
    receipt = shop.forget("nobody-yet")
    assert (receipt["ids"], receipt["known"], receipt["status"]) == (1, False, "pending")
    send(shop.store, "shop", [viewed("n3", "nobody-yet")])
    assert shop.store.state("shop", "nobody-yet").recent == ()


def test_an_import_that_began_before_puts_the_night_off(shop: Shop, gate: Callable[[str], None]) -> None:
    gate("publish")
    with shop.lake.staging("shop"):
        shop.forget("nobody-yet")
        summary = shop.night(as_of=END - timedelta(hours=2))
    assert any("an import is running" in line for line in summary.warnings)
    assert shop.forget("nobody-yet")["status"] == "pending"
    shop.night()
    assert shop.forget("nobody-yet")["status"] == "done"
    assert not shop.files_with("nobody-yet")


AWKWARD = ("1", "li na", "a\\b", "x[1]", "emo😀", "O'Brien", "a,b")
"""Ids that are words of others' texts, or are written otherwise in JSON, in a URL or in CSV."""


def others(one: str) -> dict[str, Any]:
    """What another visitor says, as it happens, in the letters of an id."""
    told = {"event_id": f"other {one}", "user_id": LIKE[0], "ts": BEFORE.isoformat(), "type": "search", "item_id": one}
    return told | {"query": f"size {one} shoes", "properties": json.dumps({"size": 1, "said": f"size {one} shoes"})}


@pytest.mark.usefixtures("publishing")
def test_whatever_an_id_is_made_of_it_goes_and_nothing_of_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUAXIANG_HOME", str(shop.process.home))
    bad = {"ts": "soon", "type": "purchase", "quantity": 1}
    kept = [others(one) for one in AWKWARD]

    def sent(day: str) -> None:
        for one in AWKWARD:
            url = {"page": f"/p?id=1x&from={quote(one, safe='')}", "properties": json.dumps({"inviter": one})}
            own = [viewed(f"own {day} {one}", one), bad | {"event_id": f"bad {one}", "user_id": one}]
            of = [viewed(f"url {day} {one}", LIKE[0]) | url, bad | {"event_id": one, "user_id": LIKE[0], "query": one}]
            send(shop.store, "shop", [*own, *of])
        send(shop.store, "shop", kept)

    sent("first")
    shop.night(as_of=END - timedelta(hours=2))
    sent("second")
    before = {row["event_id"]: row for row in events_of(shop)}
    for one in AWKWARD:
        exported = [row for row in everything(shop.process, shop.store, "shop", one) if row[0].endswith("rejected")]
        assert [json.loads(row["row"])["user_id"] for _, row in exported] == [one]
        shop.forget(one)
    rows = shop.store.read(rows_of("rejected"))
    assert {row.user_id for row in rows if row.app_id == "shop"} & set(AWKWARD) == set()
    assert len([row for row in rows if row.user_id == LIKE[0]]) == len(AWKWARD)
    summary = shop.night()
    assert not [line for line in summary.warnings if "forget" in line]
    after = {row["event_id"]: row for row in events_of(shop)}
    assert not {row["user_id"] for row in after.values()} & set(AWKWARD)
    for row in kept:
        assert after[row["event_id"]] == before[row["event_id"]]
    for one in AWKWARD:
        for day in ("first", "second"):
            told = after[f"url {day} {one}"]
            assert (told["page"], told["properties"]) == ("/p?id=1x&from=-", {"inviter": None})
        with pytest.raises(SystemExit) as ended:
            main(["forget", one, "--check", "--app", "shop", "--json"])
        found = json.loads(capsys.readouterr().out)
        assert (ended.value.code or 0, found["status"], found["left"]) == (0, "done", []), one
    quarantined = {json.loads(row["row"])["user_id"] for row in quarantine_of(shop) if row["row"].startswith("{")}
    assert not quarantined & set(AWKWARD)
    assert LIKE[0] in quarantined


def quarantine_of(shop: Shop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shop.lake.snapshot("shop").quarantine(connect()).to_pyarrow().to_pylist()
    return rows


def test_what_a_visitors_token_may_not_send_goes_too(shop: Shop) -> None:
    with opened(shop) as (client, context):
        admin = {"authorization": f"Bearer {context.store.add_key('shop', 'admin')}"}
        token = client.post("/v1/token", json={"user_id": "phone", "ttl": 600}, headers=admin).json()["token"]
        bought = purchase("mine", "phone", "i01", BEFORE) | {"ts": BEFORE.isoformat()}

        def refused() -> list[Any]:
            sent = {"events": [{name: known for name, known in bought.items() if name != "received_at"}]}
            answer = client.post("/v1/events", json=sent, headers={"authorization": f"Bearer {token}"})
            assert answer.json()["accepted"] == 0, answer.text
            return [row for row in shop.store.read(rows_of("rejected")) if "phone" in str(row)]

        assert [row.user_id for row in refused()] == ["phone"]
        client.post("/v1/forget", json={"user_id": "phone"}, headers=admin)
        assert refused() == []


@pytest.mark.parametrize("user_id", ["", "x" * 10_000])
def test_what_cannot_be_an_id_is_not_forgotten(tmp_path: Path, user_id: str) -> None:
    """An empty id stands in every text: it must never reach the night that takes ids out of texts."""
    process = ProcessSettings(home=tmp_path, secret="only for tests")
    store = Store.open(process.store_url)
    store.add_app(AppSettings("shop"))
    with pytest.raises(InvalidValue, match="user_id"):
        forget(process, store, "shop", user_id)
    assert not store.waiting("shop")
    store.close()


@pytest.mark.usefixtures("publishing")
def test_the_checker_finds_what_is_left_until_nothing_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUAXIANG_HOME", str(shop.process.home))
    monkeypatch.setenv("HUAXIANG_SECRET", shop.process.secret)

    def run(user_id: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            main(["forget", user_id, "--check", "--app", "shop", "--json"])
        told = capsys.readouterr()
        return int(ended.value.code or 0), json.loads(told.out or told.err)

    assert run(MAIN)[1]["error"]["code"] == "not_found"
    shop.forget()
    code, told = run(ANON)
    assert (code, told["status"]) == (1, "pending")
    places = {"/".join(place.split("/")[: 3 if place.startswith("lake") else 1]) for place in told["left"]}
    assert places == {"store: forgotten", "bentoml", "portraits", "runs"} | {
        f"lake/shop/{table}" for table in ("events", "users", "identities", "quarantine", "segments")
    }
    kept = shop.lake.folder("shop") / "events" / "vacuumed-one-day.parquet"
    shutil.copyfile(shop.lake.snapshot("shop").files("events")[0], kept)
    shop.night()
    code, told = run(PHONE)
    assert (code, told["status"], told["left"]) == (0, "done", [])
    assert told["rows"] > 0 < told["files"]
    assert told["signature"] == sign(told, shop.process.secret)
    assert told["signature"] != sign(told | {"left": ["something"]}, shop.process.secret)
    assert not any(one in json.dumps(told) for one in ZOE)
    (shop.process.runs / "shop" / "note.txt").write_text(f"called {ANON}, no answer")
    assert run(MAIN)[1]["left"] == ["runs/shop/note.txt"]
