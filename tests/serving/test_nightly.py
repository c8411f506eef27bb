"""The night in one process: what it publishes, what it keeps, what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from planted_shelf import Night, item
from small_shop import END, open_empty_shop, purchase, send, today

from portraits.errors import InvalidValue, UnknownApp
from portraits.history import EVENTS, OFFERS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.bundles.bundle import Bundle, write_bundle
from recommender.memory import Census, Memory, Trial
from recommender.offers.plan_files import FOLDER, OfferPlan
from recommender.train import Trained
from recommender.tuning.tune import Tuned
from recommender.types import Query
from serving import night_steps
from serving.cli import main
from serving.forget import forget
from serving.nightly import run_night
from serving.publish import bundle_folder, portraits_folder, rollback, versions
from serving.receipts import check
from serving.runs import only_night
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.events import DecisionRow
from serving.summary import NightSummary, in_words

Shop = tuple[ProcessSettings, Store, Lake]
UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return open_empty_shop(tmp_path / "home")


def fill(lake: Lake, *pairs: tuple[str, str]) -> None:
    """One purchase for each (user, item)."""
    rows = [
        purchase(f"e{place}", user, bought, END - timedelta(days=1, minutes=place))
        for place, (user, bought) in enumerate(pairs)
    ]
    lake.append("shop", "events", pa.Table.from_pylist(rows, schema=EVENTS.arrow_schema()), "test")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`gate(verdict)`: training takes no time and the gate says so; what it would have learnt is not this test's."""

    def says(verdict: str) -> None:
        def train(*arguments: Any, **_: Any) -> Trained:
            folder: Path = arguments[4] / "bundle"
            folder.parent.mkdir(parents=True, exist_ok=True)
            planted = Night([item("tea", title="Tea")], popular=[("tea", 1.0)])
            write_bundle(folder, planted.arrays(), planted.manifest)
            return Trained(folder, verdict, {"gate": {"sentence": "as planted", "comparisons": []}})

        monkeypatch.setattr(night_steps, "train", train)

    return says


def shelf(shop: Shop, user_id: str) -> list[str]:
    """What the published bundle would show."""
    process, store, _ = shop
    active = store.active("shop").bundle
    assert active is not None
    bundle = Bundle.open(bundle_folder(process, "shop", active.version))
    answer = recommend(bundle, Catalogue.from_bundle(bundle), Query(user_id, 5, datetime.now(UTC)))
    return [ranked.item_id for ranked in answer.items]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], []),
        ([("ann", "tea")], ["tea"]),
        ([("ann", "tea"), ("ann", "pot"), ("ann", "tea")], ["pot", "tea"]),
        ([("ann", "tea"), ("bob", "tea"), ("eve", "tea")], ["tea"]),
    ],
    ids=["empty app", "one event", "one user", "one item"],
)
@pytest.mark.fault
def test_too_little_history_is_no_failure(shop: Shop, pairs: list[tuple[str, str]], expected: list[str]) -> None:
    fill(shop[2], *pairs)
    summary = run_night(*shop, "shop")
    assert (summary.status, summary.exit_code, summary.portraits) == ("popular", 0, len({user for user, _ in pairs}))
    assert sorted(shelf(shop, "stranger")) == expected
    assert any("popular shelf is published" in line for line in in_words(summary, UTC_ZONE))


@pytest.mark.fault
def test_a_history_without_times_is_not_dated(shop: Shop, gate: Callable[[str], None]) -> None:
    rows = [purchase("e1", "ann", "tea", datetime(1970, 1, 1, tzinfo=UTC))]
    shop[2].append("shop", "events", pa.Table.from_pylist(rows, schema=EVENTS.arrow_schema()), "test")
    gate("publish")
    summary = run_night(*shop, "shop")
    assert summary.history == {"events": 1, "first": None, "last": None}


@pytest.mark.law
def test_a_model_that_is_held_back_leaves_the_active_one_and_publishes_portraits(
    shop: Shop, gate: Callable[[str], None]
) -> None:
    fill(shop[2], ("ann", "tea"))
    gate("publish")
    first = run_night(*shop, "shop", as_of=END)
    gate("hold")
    second = run_night(*shop, "shop")
    active = shop[1].active("shop")
    assert active.bundle is not None
    assert active.portraits is not None
    assert (active.bundle.version, active.portraits.version) == (first.version, second.version)
    assert (first.exit_code, second.exit_code, second.status) == (0, 3, "held")
    assert [(one.version, one.held) for one in versions(*shop[:2], "shop")] == [
        (first.version, False),
        (second.version, True),
    ]


def test_a_night_remembers_what_nights_of_earlier_moments_tried(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, gate: Callable[[str], None]
) -> None:
    """Also a held one's; not a failed one's, and no later one's."""
    heard: list[Memory] = []

    def night(as_of: datetime, verdict: str, value: float) -> None:
        gate(verdict)
        planted = night_steps.train

        def train(*arguments: Any, **options: Any) -> Trained:
            heard.append(options["memory"])
            if verdict == "fail":
                raise OSError("no space left on device")
            tried = Trial("similar", {"neighbours": 50}, value, 0.1, 1.0, 300, chosen=True)
            told = {"tuning": Tuned({}, (tried,)).record, "census": Census(10, 3, 2).as_json()}
            made = planted(*arguments, **options)
            return replace(made, report=made.report | told)

        monkeypatch.setattr(night_steps, "train", train)
        with suppress(OSError):
            run_night(*shop, "shop", as_of=as_of)

    for days, verdict in ((9, "publish"), (3, "hold"), (2, "fail"), (5, "publish"), (0, "publish")):
        night(END - timedelta(days=days), verdict, float(days))
    assert [[one.value for one in memory.trials] for memory in heard] == [[], [9.0], [3.0, 9.0], [9.0], [5.0, 3.0, 9.0]]
    assert heard[-1].nights == (Census(10, 3, 2),) * 3


def test_a_first_night_that_loses_publishes_popularity_and_says_so(shop: Shop, gate: Callable[[str], None]) -> None:
    gate("popular")
    summary = run_night(*shop, "shop")
    assert (summary.exit_code, summary.status, summary.reason) == (3, "popular", "as planted")


def test_a_past_night_replaces_a_newer_version_only_when_told(shop: Shop, gate: Callable[[str], None]) -> None:
    gate("publish")
    newer = run_night(*shop, "shop", as_of=END)
    past = END - timedelta(days=10)
    rehearsed = run_night(*shop, "shop", as_of=past)
    assert (rehearsed.status, rehearsed.version, rehearsed.exit_code) == ("rehearsed", None, 0)
    kept = shop[1].active("shop").bundle
    assert kept is not None
    assert kept.version == newer.version
    told = run_night(*shop, "shop", as_of=past, publish=True)
    active = shop[1].active("shop")
    assert active.bundle is not None
    assert active.portraits is not None
    assert (active.bundle.version, active.bundle.as_of, active.portraits.as_of) == (told.version, past, past)


@pytest.mark.law
def test_a_night_tells_what_the_answers_of_the_day_led_to(shop: Shop, gate: Callable[[str], None]) -> None:
    gate("publish")
    process, store, lake = shop
    fill(lake, ("ann", "tea"))
    day = END - timedelta(hours=5)
    shown = json.dumps([{"item_id": "tea", "position": 1, "source": "als"}])
    for name, user, ts in (("d1", "ann", day), ("d2", "bob", day), ("of-another-day", "ann", day - timedelta(days=2))):
        row = {"decision_id": name, "user_id": user, "ts": ts.isoformat(), "placement": "home", "candidates": shown}
        store.add_decisions("shop", [DecisionRow(name, user, 1, json.dumps(row))])
    bought = purchase("p1", "ann", "tea", day + timedelta(minutes=1)) | {"decision_id": "d1", "amount": 700}
    send(store, "shop", [bought | {"ts": (day + timedelta(minutes=1)).isoformat()}])
    summary = run_night(process, store, lake, "shop", as_of=END)
    assert (summary.answers["answers"], summary.answers["purchases"], summary.answers["revenue"]) == (2, 1, 700)
    said = "  answers    2 in a day led to 0 clicks (0.00% of 2 shown), 1 purchases, 700 in minor units"
    assert said in in_words(summary, UTC_ZONE)
    assert store.runs("shop")[0].summary["answers"]["purchases"] == 1


def test_the_store_keeps_what_the_published_version_does_not_hold(shop: Shop, gate: Callable[[str], None]) -> None:
    process, store, lake = shop
    gate("publish")
    before, after = END - timedelta(hours=1), END + timedelta(hours=1)
    send(store, "shop", [today(1, before), today(2, after)])
    summary = run_night(process, store, lake, "shop", as_of=END)
    assert summary.drained["events"] == 2
    assert lake.snapshot("shop").bounds() == (before, after, 2)
    kept = store.events_to_drain("shop", after_seq=0).payloads
    assert [json.loads(event)["event_id"] for event in kept] == ["today-2"]
    assert len(store.state("shop", "u002").recent) == 1
    assert len(store.state("shop", "u001").recent) == 0


@pytest.mark.law
def test_back_at_the_version_before_the_events_since_it_still_count(shop: Shop, gate: Callable[[str], None]) -> None:
    process, store, lake = shop
    gate("publish")
    days = [END - timedelta(days=2), END - timedelta(days=1), END]
    served = []
    for number, night_at in enumerate(days):
        send(store, "shop", [today(number, night_at - timedelta(hours=1))])
        served.append(run_night(process, store, lake, "shop", as_of=night_at).version)
    assert rollback(process, store, "shop") == served[1]
    kept = [json.loads(event)["event_id"] for event in store.events_to_drain("shop", after_seq=0).payloads]
    assert kept == ["today-2"], "what the version before the active one holds is gone"
    assert len(store.state("shop", "u002").recent) == 1
    assert len(store.state("shop", "u001").recent) == 0


def test_a_night_that_fails_is_on_record_and_the_next_begins_anew(
    shop: Shop, gate: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Trained:
        raise OSError("no space left on device")

    monkeypatch.setattr(night_steps, "train", broken)
    with pytest.raises(OSError, match="no space left"):
        run_night(*shop, "shop")
    gate("publish")
    assert not run_night(*shop, "shop").resumed
    done, failed = shop[1].runs("shop")
    assert (done.status, failed.status) == ("published", "failed")
    assert failed.summary["reason"] == "OSError: no space left on device"


def test_all_apps_in_turn_and_their_one_exit_code(
    shop: Shop, gate: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process, store, _ = shop
    store.add_app(AppSettings("other"))
    monkeypatch.setenv("HUAXIANG_HOME", str(process.home))

    def code(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["nightly", *arguments, "--json"])
        return int(ended.value.code or 0)

    gate("popular")
    with only_night(process.locks, "other"):
        assert code("--app", "other") == 4
        capsys.readouterr()
        assert code("--all") == 1
    told = json.loads(capsys.readouterr().out)
    assert [(one["app_id"], one["exit_code"]) for one in told] == [("other", 1), ("shop", 3)]
    gate("hold")
    assert code("--app", "shop") == 3


@pytest.mark.parametrize("as_of", [datetime(2026, 1, 1), datetime.now(UTC) + timedelta(days=1)])
def test_a_moment_that_cannot_be_is_refused(shop: Shop, as_of: datetime) -> None:
    with pytest.raises(InvalidValue, match="as_of"):
        run_night(*shop, "shop", as_of=as_of)
    with pytest.raises(UnknownApp):
        run_night(*shop, "another")
    assert shop[1].runs("shop") == []


def test_the_summary_reads_as_it_happened() -> None:
    row = {"part": "all", "users": 1_395, "recall": [0.1811, 0.17, 0.19], "ndcg": [0.36, 0.35, 0.37], "hit": [0.85] * 3}
    tried = [{"params": {}}] * 3 + [{"params": {"alpha": 2}}] * 12
    summary = NightSummary(
        app_id="shop",
        run_id="r1",
        as_of=END,
        status="held",
        reason="the new model loses to recent_popular",
        lost=True,
        resumed=True,
        drained={"events": 1_234, "duplicates": 5, "conflicts": 0, "changes": 7, "decisions": 0},
        history={"events": 100_000, "first": "2026-01-01T00:00:00+00:00", "last": "2026-03-01T00:00:00+00:00"},
        portraits=2_000,
        segments={"slipping": 20, "loyal": 1_300, "new": 20, "asleep": 3},
        backtest={"k": 10, "rows": [{"name": "served"} | row]},
        compared=[{"rival": "recent_popular", "part": "all", "difference": [-0.02, -0.03, -0.01], "lost": True}],
        tuning={"trials": tried, "params": {"similar": {"neighbours": 50}, "als": {"alpha": 2}}, "stopped": ""},
        seconds={"drain": 1.23, "train": 60.0},
        warnings=("No stores: nothing can be said about place.",),
    )
    assert list(in_words(summary, ZoneInfo("Asia/Shanghai"))) == [
        "shop: the new model is held back, the active one stays",
        "  why        the new model loses to recent_popular",
        "             NDCG against recent popular, all items: -0.020 (95% -0.030 to -0.010)",
        "  as of      2026-03-02 12:00, taken up after a crash",
        "  drained    1,234 events, 5 known already, 7 catalogue changes",
        "  history    100,000 events from 2026-01-01 08:00 to 2026-03-01 08:00",
        "  portraits  2,000",
        "  segments   4; largest: loyal 1,300, new 20, slipping 20",
        "  tuning     12 trials beside 3 defaults; sources that leave their defaults: als, similar",
        "  seconds    drain 1.2, train 60.0",
        "",
        "  backtest, all items (1,395 visitors)",
        "                                   recall@10                 ndcg@10                  hit@10",
        "    served               0.181 [0.170 0.190]     0.360 [0.350 0.370]     0.850 [0.850 0.850]",
        "",
        "  what the history does not support",
        "  - No stores: nothing can be said about place.",
    ]
    assert json.loads(json.dumps(summary.to_dict()))["exit_code"] == 3


COUPON = {"offer_id": "off", "kind": "cash", "value": 100, "budget": 5_000, "starts": None, "ends": None}


def offer(shop: Shop, **said: object) -> None:
    """An offer of the catalogue, in the lake."""
    rows = [COUPON | said]
    shop[2].upsert("shop", "offers", pa.Table.from_pylist(rows, schema=OFFERS.arrow_schema()), END, source="test")


def plan_of(shop: Shop) -> OfferPlan | None:
    """The published plan of the offers."""
    process, store, _ = shop
    active = store.active("shop").portraits
    assert active is not None
    folder = portraits_folder(process, "shop", active.version) / FOLDER
    return OfferPlan.open(folder) if folder.exists() else None


def test_a_night_plans_the_offers_for_everyone_with_a_portrait(shop: Shop, gate: Callable[[str], None]) -> None:
    fill(shop[2], ("ann", "tea"), ("bob", "tea"))
    offer(shop)
    offer(shop, offer_id="over", ends=END - timedelta(days=1))
    shop[1].upsert("shop", "users", [{"user_id": "bob", "consent": False}])
    gate("hold")
    summary = run_night(*shop, "shop")
    plan = plan_of(shop)
    assert plan is not None
    assert (plan.offers, plan.users.array.tolist()) == (("off",), [b"ann"])
    assert plan.eligible.all()
    assert sum(plan.pace) == pytest.approx(1)
    assert summary.offers["visitors"] == 1
    assert any(line.startswith("  offers     1 planned for") for line in in_words(summary, UTC_ZONE))
    assert not any("plan of offers" in one for one in summary.warnings)


def test_a_night_without_offers_has_no_plan(shop: Shop, gate: Callable[[str], None]) -> None:
    fill(shop[2], ("ann", "tea"))
    gate("publish")
    assert run_night(*shop, "shop").offers == {}
    assert plan_of(shop) is None


@pytest.mark.fault
def test_portraits_publish_without_a_plan_that_cannot_be_made(
    shop: Shop, gate: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(shop[2], ("ann", "tea"))
    offer(shop)
    gate("publish")

    def broken(*_: Any, **__: Any) -> None:
        raise FloatingPointError("overflow")

    monkeypatch.setattr(night_steps, "plan_offers", broken)
    summary = run_night(*shop, "shop")
    assert (summary.status, summary.offers, plan_of(shop)) == ("published", {}, None)
    assert any("no plan of offers" in one and "overflow" in one for one in summary.warnings)


@pytest.mark.law
def test_who_is_forgotten_leaves_the_served_plan(shop: Shop, gate: Callable[[str], None]) -> None:
    fill(shop[2], ("ann", "tea"), ("bob", "tea"))
    offer(shop)
    gate("publish")
    run_night(*shop, "shop")
    forget(*shop[:2], "shop", "bob")
    gate("hold")
    past = run_night(*shop, "shop", as_of=END)
    assert past.status == "rehearsed", "what is served stays, without who was forgotten"
    plan = plan_of(shop)
    assert plan is not None
    assert plan.users.array.tolist() == [b"ann"]
    assert check(*shop[:2], "shop", "bob").left == ()
