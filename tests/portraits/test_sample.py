"""The history of the sample shop: its files keep the contract, its account is true, its planted truth can be found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy.sparse import csr_matrix, diags
from scipy.stats import rankdata, spearmanr

from portraits.checking import Rejection, check
from portraits.errors import InvalidValue
from portraits.history import CATALOGUES, EVENT_TYPES, TABLES
from portraits.sample import Written, history, records
from portraits.sample.faults import LONGEST_DELAY
from portraits.sample.plan import END

N = 100_000
Sql = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="module")
def written(folder: Path) -> Written:
    return history(7, N, folder / "out", folder / "truth")


@pytest.fixture(scope="module")
def sql(folder: Path, written: Written) -> Sql:
    """Runs a query over views `events` (deliveries once, no bots or tests) and the truth tables."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute(f"CREATE VIEW rows AS SELECT * FROM '{folder}/out/events/part-*.parquet'")
    told = json.loads((folder / "truth" / "accounting.json").read_text())
    programs = ", ".join(f"'{user}'" for user in told["bots"] + told["testers"])
    con.execute(f"CREATE TABLE events AS SELECT DISTINCT * FROM rows WHERE user_id NOT IN ({programs})")
    for path in (folder / "truth").glob("*.parquet"):
        con.execute(f"CREATE VIEW true_{path.stem} AS SELECT * FROM '{path}'")
    return lambda query: con.execute(query).fetchall()


@pytest.mark.parametrize(("n", "tolerance"), [(1_000, 0.15), (20_000, 0.02)])
@pytest.mark.parametrize("variant", ["shop", "media"])
def test_history_has_about_n_events(tmp_path: Path, n: int, tolerance: float, variant: str) -> None:
    assert history(0, n, tmp_path, variant=variant).events == pytest.approx(n, rel=tolerance)


@pytest.mark.parametrize("variant", ["shop", "media"])
def test_same_seed_same_bytes(tmp_path: Path, variant: str) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        history(seed, 5_000, tmp_path / name, tmp_path / name / "truth", variant=variant)
    one, two, other = (_digests(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one["events/part-0000.parquet"] != other["events/part-0000.parquet"]


def test_truth_is_not_among_the_files_of_the_merchant(tmp_path: Path) -> None:
    history(3, 1_000, tmp_path)
    made = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {f"{name}.parquet" for name in (*CATALOGUES, "decisions", "part-0000")} | {"broken-000.jsonl"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"n": 999}, "n"),
        ({"n": 100_000_001}, "n"),
        ({"seed": -1}, "seed"),
        ({"variant": "zoo"}, "variant"),
        ({"end": END + timedelta(hours=1)}, "end"),
        ({"end": END.replace(tzinfo=None)}, "end"),
    ],
)
def test_wrong_plan_is_refused(tmp_path: Path, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as error:
        history(**{"seed": 0, "n": 1_000, "out": tmp_path, **wrong})
    assert error.value.field == field


def test_every_event_keeps_the_contract(folder: Path, written: Written) -> None:
    table = duckdb.sql(f"SELECT * FROM '{folder}/out/events/part-*.parquet' USING SAMPLE 3000 (reservoir, 1)").arrow()
    assert tuple(table.schema.names) == TABLES["events"].names
    refused = [row for row in records(table.read_all()) if isinstance(check(TABLES["events"], row), Rejection)]
    assert refused == []


@pytest.mark.parametrize("name", [*CATALOGUES, "decisions"])
def test_every_catalogue_row_keeps_the_contract(folder: Path, written: Written, name: str) -> None:
    table = duckdb.sql(f"SELECT * FROM '{folder}/out/{name}.parquet' LIMIT 2000").arrow().read_all()
    rows = [{key: value for key, value in row.items() if value is not None} for row in table.to_pylist()]
    assert rows
    assert [row for row in rows if isinstance(check(TABLES[name], row), Rejection)] == []


def test_all_that_a_shop_does_happens(sql: Sql) -> None:
    assert {kind for (kind,) in sql("SELECT DISTINCT type FROM events")} == set(EVENT_TYPES)
    assert {p for (p,) in sql("SELECT DISTINCT platform FROM events WHERE type = 'launch'")} == {
        "wechat",
        "alipay",
        "douyin",
    }


def test_events_end_before_the_end(sql: Sql) -> None:
    first, last = sql("SELECT epoch(min(ts)), epoch(max(ts)) FROM rows")[0]
    assert (END - timedelta(days=180)).timestamp() <= first < last < END.timestamp()


def test_parts_are_in_order_of_days_but_for_the_late(sql: Sql, written: Written) -> None:
    """A row that comes after rows of a later day is late (or a second delivery), by three days at most."""
    held = sql(
        "WITH r AS (SELECT ts, max(ts) OVER (ORDER BY file_row_number) AS reached FROM "
        "(SELECT ts, row_number() OVER () AS file_row_number FROM rows)) "
        "SELECT count(*), max(date_diff('day', ts, reached)) FROM r WHERE ts::DATE < reached::DATE - 1"
    )[0]
    assert 0 < held[0] <= written.late + written.duplicates
    assert held[1] <= LONGEST_DELAY + 1


def test_money_adds_up(sql: Sql) -> None:
    wrong = sql(
        "SELECT count(*) FROM events WHERE type = 'purchase' AND "
        "(list_amount <> amount + discount OR amount < 0 OR quantity <= 0 OR order_id IS NULL)"
    )
    assert wrong == [(0,)]


def test_refunds_give_back_what_was_paid(sql: Sql) -> None:
    unpaid = sql(
        "SELECT count(*) FROM events AS r WHERE type = 'refund' AND NOT EXISTS (FROM events AS p WHERE p.type = "
        "'purchase' AND p.order_id = r.order_id AND p.item_id = r.item_id AND p.amount = r.amount AND p.ts < r.ts)"
    )
    assert unpaid == [(0,)]
    assert sql("SELECT count(*) > 0 FROM events WHERE type = 'refund'") == [(True,)]


def test_failed_groups_are_refunded_and_others_joined(sql: Sql) -> None:
    ends = sql(
        "SELECT type, count(DISTINCT group_id), count(DISTINCT group_id) FILTER (group_id IN "
        "(SELECT group_id FROM events WHERE type = 'refund')) FROM events WHERE type LIKE 'group_%' GROUP BY 1"
    )
    groups = {kind: (count, refunded) for kind, count, refunded in ends}
    assert groups["group_join"][0] > 0
    failed, paid_back = groups["group_fail"]
    assert paid_back > 0.9 * failed  # the rest was cancelled before


def test_account_of_the_parts(sql: Sql, written: Written) -> None:
    assert sql("SELECT count(*), count(*) - count(DISTINCT event_id) FROM rows") == [
        (written.events, written.duplicates)
    ]
    assert sql("SELECT count(*) FROM (SELECT DISTINCT * FROM rows)") == [(written.events - written.duplicates,)]


def test_account_of_the_broken_file(folder: Path, sql: Sql, written: Written) -> None:
    """Read with the checker for single records, an event that is there with other content counts as quarantined."""
    seen: dict[tuple[str, Any], dict[str, Any]] = {}
    count = {"accepted": 0, "duplicates": 0, "quarantined": 0}
    known = {event_id for (event_id,) in sql("SELECT event_id FROM rows")}
    for line in (folder / "out" / "events" / "broken-000.jsonl").read_bytes().splitlines():
        count[_verdict(line, known, seen)] += 1
    assert sum(count.values()) == written.broken
    assert count == {
        "accepted": written.broken_accepted,
        "duplicates": written.broken_duplicates,
        "quarantined": written.broken_quarantined,
    }


def _verdict(line: bytes, known: set[str], seen: dict[tuple[str, Any], dict[str, Any]]) -> str:
    try:
        row = check(TABLES["events"], json.loads(line.decode()))
    except ValueError:
        return "quarantined"
    if isinstance(row, Rejection) or row["event_id"] in known:
        return "quarantined"
    key = (row["event_id"], row["ts"].date())
    before = seen.setdefault(key, row)
    if before is row:
        return "accepted"
    return "duplicates" if before == row else "quarantined"


def test_bots_and_tests_are_in_the_rows(folder: Path, sql: Sql) -> None:
    told = json.loads((folder / "truth" / "accounting.json").read_text())
    views = dict(sql("SELECT user_id, count(*) FROM rows WHERE type = 'item_view' GROUP BY 1"))
    assert max(views, key=lambda user: views[user]) in told["bots"]
    testers = {u for (u,) in sql("SELECT DISTINCT user_id FROM rows WHERE scene IN ('1129', '1030', '1017')")}
    assert testers == set(told["testers"])


def test_anonymous_visitors_are_linked_later(folder: Path, sql: Sql) -> None:
    links = f"(FROM '{folder}/out/identities.parquet')"
    hidden = "SELECT count(DISTINCT user_id) FROM events WHERE user_id LIKE 'a%'"
    linked = f"{hidden} AND user_id IN (SELECT anonymous_id FROM {links})"
    assert sql(linked) == sql(hidden)
    assert sql(hidden)[0][0] > 50
    shared = sql(f"SELECT unionid, count(*) AS users FROM {links} GROUP BY 1 HAVING users > 1")
    assert len(shared) == 1
    assert 5 < shared[0][1] <= 25


def test_new_items_and_visitors_keep_coming(folder: Path, sql: Sql) -> None:
    months = sql(
        "SELECT month(first), count(*) FROM (SELECT user_id, min(ts) AS first FROM events "
        "WHERE user_id LIKE 'u%' GROUP BY 1) GROUP BY 1"
    )
    assert min(count for _, count in months) > 50
    items = f"'{folder}/out/items.parquet'"
    early = f"SELECT count(*) FROM events JOIN {items} USING (item_id) WHERE type = 'purchase' AND ts < created_at"
    assert sql(early) == [(0,)]


def test_taste_is_found_in_views(sql: Sql, folder: Path) -> None:
    """The category looked at most is one of the three of the visitor's taste, nearly always."""
    [(share, users)] = sql(
        f"WITH v AS (SELECT user_id, category[2] AS c, count(*) AS k FROM events JOIN '{folder}/out/items.parquet' "
        "USING (item_id) WHERE type = 'item_view' GROUP BY 1, 2), "
        "top AS (SELECT user_id, arg_max(c, k) AS c FROM v GROUP BY 1 HAVING sum(k) >= 20) "
        "SELECT avg((c IN (SELECT category FROM true_tastes AS t WHERE t.user_id = top.user_id))::INT), count(*) "
        "FROM top"
    )
    assert users > 200
    assert share > 0.9


def test_budget_is_found_in_prices(sql: Sql, folder: Path) -> None:
    """Visitors whose purchases cost more than is usual in the category are those with larger budgets."""
    rows = sql(
        f"WITH i AS (SELECT item_id, ln(price) - avg(ln(price)) OVER (PARTITION BY category) AS level FROM "
        f"'{folder}/out/items.parquet') SELECT avg(level), any_value(budget) FROM events JOIN i USING (item_id) "
        "JOIN true_users USING (user_id) WHERE type = 'purchase' GROUP BY user_id HAVING count(DISTINCT item_id) >= 3"
    )
    assert spearmanr(*zip(*rows, strict=True)).statistic > 0.4


def test_discount_sensitivity_is_found_in_purchases(sql: Sql) -> None:
    """Visitors who buy more of what is reduced are those whom a discount moves, if weakly."""
    rows = sql(
        "SELECT avg((discount > 0)::INT), any_value(sense) FROM events JOIN true_users USING (user_id) "
        "WHERE type = 'purchase' GROUP BY user_id HAVING count(*) >= 3"
    )
    assert spearmanr(*zip(*rows, strict=True)).statistic > 0.1


def test_rhythm_is_found_in_gaps(sql: Sql) -> None:
    rows = sql(
        "WITH g AS (SELECT user_id, item_id, ts::DATE - lag(ts::DATE) OVER (PARTITION BY user_id, item_id ORDER BY ts) "
        "AS gap FROM events WHERE type = 'purchase') SELECT median(gap), any_value(every_days) FROM g "
        "JOIN true_needs USING (user_id, item_id) WHERE gap > 0 GROUP BY user_id, item_id HAVING count(*) >= 3"
    )
    gaps, every = (np.array(column) for column in zip(*rows, strict=True))
    assert len(gaps) > 50
    assert spearmanr(gaps, every).statistic > 0.85
    assert np.median(gaps / every) == pytest.approx(1.1, abs=0.25)  # a due need waits some days for the next visit


def test_home_store_is_found_in_store_visits(sql: Sql) -> None:
    [(share,)] = sql(
        "WITH s AS (SELECT user_id, mode(store_id) AS store FROM events WHERE type = 'store_enter' "
        "GROUP BY 1 HAVING count(*) >= 3) SELECT avg((store = home_store)::INT) FROM s JOIN true_users USING (user_id)"
    )
    assert share > 0.9


def test_sharers_are_found_in_the_friends_they_bring(sql: Sql) -> None:
    """Among visitors with ten visits or more, friends brought tell key sharers from others (area under the curve)."""
    rows = sql(
        "SELECT shares > 0.1, coalesce(b.friends, 0) FROM true_users JOIN (SELECT user_id FROM events WHERE type = "
        "'launch' GROUP BY 1 HAVING count(*) >= 10) USING (user_id) LEFT JOIN (SELECT referrer_user_id AS user_id, "
        "count(DISTINCT user_id) AS friends FROM events WHERE type = 'share_open' AND user_id <> referrer_user_id "
        "GROUP BY 1) AS b USING (user_id)"
    )
    key, friends = (np.array(column) for column in zip(*rows, strict=True))
    assert key.sum() > 5
    assert (rankdata(friends)[key].mean() - (key.sum() + 1) / 2) / (~key).sum() > 0.85


def test_coupons_are_given_at_random_and_change_what_the_truth_says(sql: Sql) -> None:
    """Treated and held out are alike without a coupon; what they decide on that visit differs by the planted effect."""
    [(share, alike, apart, effect, users)] = sql(
        "SELECT avg(treated::INT), avg(p_without) FILTER (treated) - avg(p_without) FILTER (NOT treated), "
        "avg(wants_with::INT) FILTER (treated) - avg(wants_without::INT) FILTER (NOT treated), "
        "avg((p_with - p_without) / (1 - p_planned)), count(*) FROM true_coupons"
    )
    assert share == pytest.approx(0.5, abs=0.03)
    assert alike == pytest.approx(0, abs=0.02)
    assert effect > 0.02
    assert apart == pytest.approx(effect, abs=3 * np.sqrt(0.25 / users * 4))


def test_decisions_name_those_who_got_no_coupon_too(folder: Path, sql: Sql) -> None:
    decided = f"'{folder}/out/decisions.parquet'"
    [(wrong, rows)] = sql(
        "SELECT count(*) FILTER (contains(candidates::VARCHAR, 'offer_id') <> treated), count(*) "
        f"FROM true_coupons JOIN {decided} USING (decision_id)"
    )
    assert (wrong, rows) == (0, sql("SELECT count(*) FROM true_coupons")[0][0])


def test_a_random_shelf_logs_its_propensities(folder: Path, sql: Sql) -> None:
    """Weighted by 1 / propensity, the clicks of a position are unbiased: the weights average to items shown there."""
    unlogged = sql(
        f"SELECT count(*) FROM events AS e LEFT JOIN '{folder}/out/decisions.parquet' AS d USING (decision_id) "
        "WHERE e.type IN ('exposure', 'click') AND NOT coalesce(d.candidates LIKE '%' || e.item_id || '%', false)"
    )
    assert unlogged == [(0,)]


def test_tastes_can_be_learnt_and_beat_popularity(sql: Sql) -> None:
    """NDCG@10 on purchases of the last three weeks that are new to the visitor: item-item cosine against popularity."""
    cut = END - timedelta(days=21)
    seen = sql(f"SELECT user_id, item_id FROM events WHERE type IN ('item_view', 'purchase') AND ts < '{cut}'")
    bought = sql(f"SELECT DISTINCT user_id, item_id, ts >= '{cut}' FROM events WHERE type = 'purchase'")
    users = {user: code for code, user in enumerate(sorted({user for user, _ in seen}))}
    items = {item: code for code, item in enumerate(sorted({item for _, item in seen}))}
    pairs = np.array([(users[user], items[item]) for user, item in seen])
    views = csr_matrix((np.ones(len(pairs)), pairs.T), (len(users), len(items)))
    views.data = np.log1p(views.data)
    unit = views @ diags(1 / np.sqrt(views.multiply(views).sum(axis=0).A1 + 1e-9))
    alike = (unit.T @ unit).toarray()
    np.fill_diagonal(alike, 0)
    knn, popular = views @ alike, np.tile(views.sum(axis=0).A1, (len(users), 1))
    ndcg = {"knn": [], "popular": []}
    before = {(user, item) for user, item, later in bought if not later}
    new: dict[int, set[int]] = {}
    for user, item, later in bought:
        if later and (user, item) not in before and user in users and item in items:
            new.setdefault(users[user], set()).add(items[item])
    own = {user: [items[i] for u, i in before if users.get(u) == user and i in items] for user in new}
    for name, scores in (("knn", knn), ("popular", popular)):
        for user, truth in new.items():
            row = scores[user].copy()
            row[own[user]] = -1
            ndcg[name].append(_ndcg(np.argsort(-row)[:10], truth))
    assert len(new) > 80
    assert np.mean(ndcg["knn"]) > 2 * np.mean(ndcg["popular"])


def _ndcg(top: np.ndarray, truth: set[int]) -> float:
    gains = 1 / np.log2(np.arange(2, 12))
    return float(gains[[item in truth for item in top]].sum() / gains[: min(10, len(truth))].sum())


def test_media_sells_nothing_and_earns_by_ads(tmp_path: Path) -> None:
    history(1, 20_000, tmp_path, variant="media")
    events = f"'{tmp_path}/events/part-*.parquet'"
    kinds = dict(duckdb.sql(f"SELECT type, coalesce(sum(revenue), 0) FROM {events} GROUP BY 1").fetchall())
    assert not {"purchase", "refund", "cart", "item_view", "offer_exposure", "group_open"} & set(kinds)
    assert kinds["ad_impression"] > 0
    assert kinds["ad_click"] > 0
    apart = f"SELECT count(*) FROM {events} WHERE type = 'content_view' AND item_id IS DISTINCT FROM content_id"
    assert duckdb.sql(apart).fetchall() == [(0,)]


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
