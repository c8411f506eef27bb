"""What was tried with offers: units and chances, windows worked by hand, and the sample shop's planted lots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from ibis.backends.duckdb import Backend
from planted_answers import Row, event
from planted_trials import entry, none, of, offered, tried

from portraits.engine import connect
from portraits.errors import InvalidValue
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.local import DAY_US
from portraits.sample.history import history
from portraits.sample.plan import END
from portraits.settings import AppSettings
from recommender.offers.trials import Trials, trials


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    """A day of this system's own answers: one visitor each kind."""
    answers = [
        offered("d-given", "given", 1, entry("cash", 0.6), entry("tenth", 0.3, 2), none(0.1)),
        offered("d-later", "given", 2, entry("tenth", 0.5), none(0.1)),
        offered("d-next", "next", 1, entry("tenth", 0.5), none(0.1)),
        offered("d-ghost", "ghost", 1, entry("cash", 0.6), none(0.4), arm="control"),
        offered("d-none", "none", 1, none(0.25)),
        offered("d-vain", "vain", 1, none(1.0)),
        offered("d-plain", "plain", 1, entry("cash", 0.5), none(0.5), arm=None),
        offered("d-gone", "gone", 1, entry("deleted", None), none(None)),
        offered("d-nobody", "-", 1, entry("cash")),
        offered("d-refused", "refused", 1, entry("cash")),
        offered("d-late", "late", 240, entry("cash")),
        offered("d-twice", "twice", 1, entry("cash")),
        offered("d-twice", "twice", 30, entry("tenth")),
        offered("d-open", "open", 200, entry("cash")),
        offered("d-items", "items", 1, {"item_id": "tea", "position": 1, "source": "als"}, policy="pipeline"),
    ]
    users = [{"user_id": "refused", "consent": False}]
    return tried(tmp_path_factory.mktemp("live"), [], answers, users=users)


def test_who_is_in_a_trial(live: Trials) -> None:
    assert sorted(live.user_id) == ["ghost", "given", "gone", "next", "none", "open", "twice"]
    assert live.offers == ("cash", "deleted", "tenth"), "also one that no catalogue has"
    assert list(live.at_us) == sorted(live.at_us)


@pytest.mark.parametrize(
    ("user", "action", "intended", "chance"),
    [
        ("given", "cash", "cash", 0.8 * 0.6),
        ("next", "tenth", "tenth", 0.8 * 0.5),
        ("ghost", None, "cash", 0.2 + 0.8 * 0.4),
        ("none", None, None, 0.2 + 0.8 * 0.25),
        ("twice", "cash", "cash", 0.8 * 0.5),
    ],
)
def test_what_was_done_and_how_likely_it_was(
    live: Trials, user: str, action: str | None, intended: str | None, chance: float
) -> None:
    found = of(live, user)
    assert (found["action"], found["intended"]) == (action, intended)
    assert found["propensity"] == pytest.approx(chance)
    assert found["control"] == (user == "ghost")


def test_an_unknown_chance_is_nan_and_an_open_window_is_told(live: Trials) -> None:
    assert np.isnan(of(live, "gone")["propensity"])
    assert [of(live, user)["complete"] for user in ("given", "open")] == [True, False]
    assert live.account["not complete"] == 1


def test_what_could_have_been_given_is_told_where_it_was_logged(tmp_path: Path) -> None:
    """Ann had used up one offer, of bob nothing is told, cem's list is none, and dan could have had nothing else."""
    answers = [
        offered("d-ann", "ann", 1, none(0.5, could=["cash", "gone"])),
        offered("d-bob", "bob", 1, entry("tenth"), none(0.5)),
        offered("d-cem", "cem", 1, none(0.5, could="[cash")),
        offered("d-dan", "dan", 1, entry("cash"), none(0.5, could=[]), arm="control"),
    ]
    found = tried(tmp_path, [], answers)
    could = dict(zip(found.user_id, found.could.tolist(), strict=True))
    assert found.offers == ("cash", "tenth")
    assert could == {"ann": [True, False], "bob": [True, True], "cem": [True, True], "dan": [True, False]}
    told = found.where(np.array([name == "ann" for name in found.user_id])).could_have(["tenth", "new", "cash"])
    assert told is not None
    assert told.tolist() == [[False, True, True]]


def test_an_engine_that_cannot_is_named(tmp_path: Path) -> None:
    """The night's trials run on DuckDB also where the app's engine is a Spark."""

    class Elsewhere(Backend):  # type: ignore[misc]
        name = "pyspark"

    snapshot = Lake(tmp_path).snapshot("shop")
    with pytest.raises(InvalidValue, match=r"engine of trials.*pyspark.*duckdb"):
        trials(snapshot, AppSettings("shop"), END, Elsewhere())


def test_what_could_have_been_given_is_not_guessed(live: Trials) -> None:
    assert live.could_have(live.offers) is None


def test_one_day_of_one_visitor_is_one_trial_by_the_local_clock(tmp_path: Path) -> None:
    """15:00 and 17:00 UTC are two days in Shanghai; two ids of one person are one visitor."""
    answers = [
        offered("a", "ann", 15, entry("cash")),
        offered("b", "ann", 17, entry("tenth")),
        offered("c", "bob", 15, entry("cash")),
        offered("d", "anon", 14, entry("tenth")),
    ]
    links = [{"link_id": "1", "user_id": "bob", "anonymous_id": "anon"}]
    settings = AppSettings("shop", time_zone="Asia/Shanghai")
    found = tried(tmp_path, [], answers, identities=links, settings=settings)
    rows = list(zip(found.user_id, (found.offers[n] for n in found.action), strict=True))
    assert sorted(rows) == [("ann", "cash"), ("ann", "tenth"), ("bob", "tenth")]


ITEMS = [{"item_id": "tea", "price": 100, "cost": 60}, {"item_id": "pot", "price": 2_000, "cost": 1_200}]
COUPONS = ("rule", "told", "rate", "most", "silent", "void", "back", "other", "unknown", "early", "claim", "both")
LOOKS = ("named", "inside", "outside", "before", "another")
USES = ("saw", "blind", "after")


def window() -> list[Row]:
    """Ann's answer is of 1:00, its window of two days; tea costs 60 of 100, of items without a cost 40% is margin."""

    def bought(hours: float, amount: int, item: str = "tea", **more: object) -> Row:
        return event("ann", "purchase", item, hours, amount=amount, order_id=f"o{hours}", **more)

    return [
        bought(0.99, 1),
        bought(1, 100),
        bought(2, 200, quantity=2),
        bought(3, 50, "cup"),
        bought(48.99, 100),
        bought(49, 1),
        bought(4, 100),
        event("ann", "order_cancel", None, 5, order_id="o4"),
        event("ann", "refund", "tea", 60, order_id="o2", amount=100),
        event("ann", "ad_click", None, 7, revenue=9),
    ]


def coupons() -> list[Row]:
    """Pots of 2,000 that cost 1,200, with coupons of all kinds taken off."""

    def order(user: str, offer: str | None, paid: int, **more: object) -> Row:
        return event(user, "purchase", "pot", 2, order_id="o", amount=paid, offer_id=offer, **more)

    def used(user: str, offer: str, hours: float = 2, **more: object) -> Row:
        return event(user, "offer_redeem", None, hours, offer_id=offer, **({"order_id": "o"} | more))

    return [
        *(order("rule", "cash", 1_500), used("rule", "cash")),
        *(order("told", "cash", 1_600), used("told", "cash", discount=400)),
        *(order("rate", "tenth", 1_800), used("rate", "tenth")),
        *(order("most", "tenth", 3_700), used("most", "tenth")),
        order("silent", "cash", 1_500),
        *(order("void", "cash", 1_500), used("void", "cash"), event("void", "order_cancel", None, 3, order_id="o")),
        *(order("back", None, 2_000), used("back", "cash")),
        event("back", "offer_return", None, 3, offer_id="cash", order_id="o"),
        used("other", "cash", order_id=None),
        *(order("unknown", "gone", 1_900, discount=100), used("unknown", "gone")),
        used("early", "cash", 0.5, order_id=None),
        *(used("claim", "cash", order_id=None, **names("c1")), given_back("claim", "c1")),
        *(order("both", None, 1_500), used("both", "cash", **names("c2")), used("both", "cash", **names("c3"))),
        given_back("both", "c2", order_id="o"),
    ]


def names(claim_id: str) -> Row:
    return {"properties": f'{{"claim_id":"{claim_id}"}}'}


def given_back(user: str, claim_id: str, **more: object) -> Row:
    return event(user, "offer_return", None, 3, offer_id="cash", **names(claim_id), **more)


def looks() -> list[Row]:
    """Who saw what, and who used a coupon without having seen it."""

    def saw(user: str, hours: float, offer: str = "cash", **more: object) -> Row:
        return event(user, "offer_exposure", None, hours, offer_id=offer, **more)

    return [
        saw("named", 0.9, decision_id="d-named"),
        saw("inside", 48),
        saw("outside", 49),
        saw("before", 0.9),
        saw("another", 2, "tenth"),
        saw("ghost", 2),
        *(saw("saw", 1), event("saw", "offer_redeem", None, 2, offer_id="cash")),
        event("blind", "offer_redeem", None, 2, offer_id="cash"),
        *(event("after", "offer_redeem", None, 2, offer_id="cash"), saw("after", 3)),
    ]


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    """What followed answers of 1:00."""
    users = {"ann": "cash", **dict.fromkeys(COUPONS, "tenth"), **dict.fromkeys((*LOOKS, *USES), "cash")}
    answers = [offered(f"d-{user}", user, 1, entry(offer), none()) for user, offer in users.items()]
    answers += [offered("d-ghost", "ghost", 1, entry("cash"), none(), arm="control")]
    answers += [offered("d-untold", "untold", 1, entry("never seen"), none())]
    return tried(tmp_path_factory.mktemp("after"), [*window(), *coupons(), *looks()], answers, items=ITEMS)


def test_a_window_begins_with_the_answer_and_its_end_is_outside(after: Trials) -> None:
    found = of(after, "ann")
    assert found["bought"] == 1
    assert found["revenue"] == 100 + (200 - 100) + 50 + 100 + 9
    assert found["margin"] == pytest.approx((100 - 60) + (200 - 120) / 2 + 0.4 * 50 + (100 - 60) + 9)
    assert found["cost"] == 0


def test_a_coupon_is_taken_off_once_as_a_cost(after: Trials) -> None:
    """Paid 1,500 after 500 off: what was earned before the coupon is 2,000 less the cost of the goods."""
    cost = {"rule": 500, "told": 400, "rate": 200, "most": 300, "silent": 500, "other": 500, "unknown": 100}
    cost |= {"both": 500}
    assert {user: of(after, user)["cost"] for user in COUPONS} == {user: cost.get(user, 0) for user in COUPONS}
    before = {**dict.fromkeys(COUPONS, 2_000 - 1_200), "most": 4_000 - 1_200}
    before |= dict.fromkeys(("void", "other", "early", "claim"), 0)
    assert {user: of(after, user)["margin"] for user in COUPONS} == pytest.approx(before)
    own = {user: of(after, user)["own_cost"] for user in COUPONS}
    assert own == {user: cost[user] if user in ("rate", "most") else 0 for user in COUPONS}


def test_the_amount_of_the_order_is_no_cost_and_what_came_back_costs_nothing(tmp_path: Path) -> None:
    """Each pays 1,500 for two teas (costs 60 each), of a coupon of 500; kept in part, not at all, or with a rule."""
    rows = []
    for user, more in {
        "whole": {"amount": 2_000},
        "small": {"amount": 300},
        "half": {"amount": 2_000},
        "gone": {"discount": 500},
        "rate": {"amount": 2_000, "offer_id": "tenth"},
        "nameless": {"amount": 2_000, "offer_id": "unknown"},
    }.items():
        rows += [event(user, "purchase", item, 2, order_id="o", amount=750) for item in ("tea", "cup")]
        rows += [event(user, "offer_redeem", None, 2, order_id="o", **({"offer_id": "cash"} | more))]
    rows += [event("half", "refund", "cup", 30, order_id="o", amount=750)]
    rows += [event("gone", "refund", None, 30, order_id="o", amount=1_500)]
    users = ("whole", "small", "half", "gone", "rate", "nameless")
    answers = [offered(f"d-{user}", user, 1, entry("cash"), none()) for user in users]
    items = [{"item_id": one, "price": 1_000, "cost": 60} for one in ("tea", "cup")]
    found = tried(tmp_path, rows, answers, items=items)
    assert [of(found, user)["cost"] for user in users] == pytest.approx([500, 300, 250, 0, 200, 0])
    profit = [of(found, user)["margin"] - of(found, user)["cost"] for user in users]
    assert profit == pytest.approx([1_380, 1_380, 690, 0, 1_380, 1_380])


def test_exposed_is_who_saw_it_in_the_window_or_by_the_answer(after: Trials) -> None:
    """A phone whose clock is behind sees the answer before it was given; a ghost must not be shown anything."""
    seen = {user for user in (*LOOKS, "ghost", "untold") if of(after, user)["exposed"]}
    assert seen == {"named", "inside", "ghost", "untold"}
    assert after.account["control shown all the same"] == 1


def test_a_redemption_without_a_look_is_a_cost_and_counted(after: Trials) -> None:
    found = [(of(after, user)["cost"], of(after, user)["unseen"]) for user in USES]
    assert found == [(500, 0), (500, 1), (500, 1)]


def test_a_share_in_control_that_cannot_be_the_settings_is_taken_from_the_visitors(tmp_path: Path) -> None:
    """30 of 40, where the setting says a fifth. (Of a few it can be: see `live`.)"""
    arms = ["control"] * 30 + ["treated"] * 10
    answers = [offered(f"d{n}", f"u{n}", 1, entry("cash", 0.5), none(0.5), arm=arm) for n, arm in enumerate(arms)]
    assert of(tried(tmp_path, [], answers), "u39")["propensity"] == pytest.approx(10 / 40 * 0.5)


def test_nothing_tried_is_no_trial(tmp_path: Path) -> None:
    found = tried(tmp_path, [event("ann", "purchase", "tea", 1, amount=5)], [], known=True)
    assert (len(found), found.offers, found.X.shape) == (0, (), (0, len(found.names)))
    assert len(found.names) > 50


def test_an_offer_gets_no_credit_for_its_season(live: Trials) -> None:
    """Half buy in the first week without an offer, a quarter in the second; each week has an offer that changes
    nothing."""
    week, given = np.repeat([0, 1], 4_000), np.tile([0, 1], 4_000)
    bought = np.where(np.tile(np.arange(8) // 2, 1_000) < np.where(week, 1, 2), 1.0, 0.0)
    rows = {name: value for name, value in vars(live).items() if not isinstance(value, np.ndarray | list)}
    empty = {name: np.empty(0) for name in ("control", "exposed", "margin", "revenue", "cost", "X", "complete")}
    found = Trials(
        **rows,
        **empty,
        user_id=[],
        at_us=week * 7 * DAY_US + 5,
        action=np.where(given, week, -1).astype(np.int32),
        intended=np.empty(0, np.int32),
        propensity=np.where(week, 0.5, np.nan),
        bought=bought,
    )

    def means(outcome: np.ndarray) -> list[float]:
        return [float(outcome[found.action == action].mean()) for action in (0, 1, -1)]

    assert means(bought) == [0.5, 0.25, 0.375]
    assert means(found.settled(bought)) == pytest.approx([1 / 3] * 3, abs=0.01), "the second week counts twice"
    assert found.where(found.action >= 0).settled(bought[given > 0]).tolist() == bought[given > 0].tolist()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trials, Path]:
    """The trials of a sample shop, and the folder of its truth."""
    root = tmp_path_factory.mktemp("shop")
    history(3, 60_000, root / "files", root / "truth")
    lake, settings = Lake(root / "lake"), AppSettings("shop")
    for path in sorted((root / "files" / "events").glob("part-*.parquet")):
        import_file(lake, settings, "events", path)
    for table in ("items", "users", "offers", "identities", "decisions"):
        import_file(lake, settings, table, root / "files" / f"{table}.parquet")
    return trials(lake.snapshot("shop"), settings, END, connect(), known=False), root / "truth"


def told_of(truth: Path, found: Trials) -> pd.DataFrame:
    """The truth of the trials, in their order."""
    told = pq.read_table(truth / "coupons.parquet").to_pandas().set_index("decision_id")
    return told.loc[found.decision_id]


def test_the_sample_shops_lots_are_its_trials(shop: tuple[Trials, Path]) -> None:
    found, truth = shop
    told = told_of(truth, found)
    assert len(told) > 0.95 * pq.read_metadata(truth / "coupons.parquet").num_rows, "all but of those who refused"
    assert set(found.propensity) == {0.5}
    given = told[told.treated].offer_id.value_counts().to_dict()
    assert {offer: int(np.sum(found.action == n)) for n, offer in enumerate(found.offers)} == given
    assert found.exposed[found.action >= 0].all()
    assert not found.exposed[found.action < 0].any()
    assert found.cost[found.action < 0].sum() == 0 < found.cost[found.action >= 0].sum()


def test_the_sample_shops_effects_are_the_planted_ones(shop: tuple[Trials, Path]) -> None:
    """Who bought of those given a coupon, less who bought of the others, in all and for each coupon beside the others
    of its days: the truth is within the interval."""
    found, truth = shop
    told = told_of(truth, found)
    inside = []
    for offer in [None, *found.offers]:
        rows = (told.offer_id == offer).to_numpy() if offer else np.ones(len(told), bool)
        given, rest = (found.bought[rows & side] for side in (found.action >= 0, found.action < 0))
        error = np.sqrt(given.var() / len(given) + rest.var() / len(rest))
        planted = float((told.p_with - told.p_without)[rows].mean())
        inside.append(abs(given.mean() - rest.mean() - planted) < 1.96 * error)
    assert inside[0]
    assert sum(inside) >= len(inside) - 2
