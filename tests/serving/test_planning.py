"""The marketer's plan of offers over the published files: `huaxiang offers plan` and `offers reach`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from planted_plan import FLAT, planned
from small_shop import END, USERS, open_small_shop

from portraits.errors import NothingThere
from portraits.portrait_set import TABLE_FILE
from portraits.segments.nights import Definition, schema, write_night
from portraits.settings import AppSettings
from recommender.offers.plan_files import FOLDER, write_plan
from serving.cli import main
from serving.planning import Planning
from serving.publish import portraits_folder, publish
from serving.segments.night import folder_of
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.events import EventRow
from serving.tenants import in_offer_control

NAMES = [f"u{number:03}" for number in range(USERS)]
OFFERS = [
    {"offer_id": "ten", "kind": "cash", "value": 1000, "budget": 40_000},
    {"offer_id": "two", "kind": "cash", "value": 200},
]
MORE = {"two": 150.0, "ten": 300.0}
"""Cost of each if it is shown; the even visitors gain 500 by "ten", the odd 200 by "two", others nothing."""


def tell(store: Store, kind: str, users: list[str], at: datetime) -> None:
    """Events about messages, after the night."""
    rows = []
    for number, user_id in enumerate(users):
        event_id, us = f"{kind}-{number}-{user_id}", int(at.timestamp() * 1e6) + number
        payload = json.dumps({"event_id": event_id, "user_id": user_id, "ts": at.isoformat(), "type": kind})
        rows.append(EventRow(event_id, us // 86_400_000_000, user_id, us, kind, None, payload, event_id))
    store.append_events("shop", rows)


class Shell:
    """A marketer at the command line."""

    def __init__(self, process: ProcessSettings, store: Store) -> None:
        self.process, self.store = process, store

    def __call__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("HUAXIANG_HOME", str(self.process.home))
            with pytest.raises(SystemExit) as ended:
                main(["offers", *[str(argument) for argument in arguments]])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    def json(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
        code, out, err = self(capsys, *arguments, "--json")
        assert code == 0, err
        return dict(json.loads(out))


def portraits(folder: Path) -> Path:
    """What is read of portraits here: u009 gave two permissions and comes at seven in the evening."""
    folder.mkdir()
    hours = [[{"hour": 19, "visits": 5}] if name == "u009" else [] for name in NAMES]
    table = pa.table(
        {
            "user_id": NAMES,
            "permissions_left": [2 if name == "u009" else 0 for name in NAMES],
            "messages_sent": [4] * USERS,
            "messages_opened": [2] * USERS,
            "hour_counts": pa.array(hours, pa.list_(pa.struct([("hour", pa.int64()), ("visits", pa.int64())]))),
        }
    )
    pq.write_table(table, folder / TABLE_FILE)
    return folder


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The small shop with two offers and a plan as of its end; the odd visitors gave permissions for messages."""
    process, store, lake = open_small_shop(tmp_path_factory.mktemp("home"))
    store.upsert("shop", "offers", OFFERS)
    version = publish(process, store, "shop", as_of=END, portraits=portraits(process.home / "made"))
    inside = pa.table([NAMES, ["new"] * USERS, [1 - place % 2 for place in range(USERS)]], schema=schema(["even"]))
    write_night(folder_of(lake, "shop"), END, {"even": Definition(1, {}, ())}, inside.to_batches())
    even = np.array([*[place % 2 == 0 for place in range(USERS)], True])
    gain = np.where(even[:, None], [500.0, 0.0], [0.0, 200.0])
    arrays, manifest = planned(
        gain,
        np.full((USERS + 1, 2), [MORE["ten"], MORE["two"]]),
        users=NAMES,
        offers=["ten", "two"],
        shift=np.array([[[-100, -10]], [[100, 10]]]),
        as_of=END.isoformat(),
        period_days=7,
        pace=FLAT,
    )
    arrays["weight"] = np.array([*[0.5] * USERS, 0], np.float32)
    write_plan(portraits_folder(process, "shop", version) / FOLDER, arrays, manifest)
    yield Shell(process, store)
    store.close()


@pytest.fixture(autouse=True)
def _settings(shell: Shell) -> Iterator[None]:
    shell.store.save_app(AppSettings("shop", offer_control_share=0.0))
    yield
    shell.store.save_app(AppSettings("shop"))


def test_the_plan_by_offer_and_whom_it_reaches(
    shell: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """40 even visitors come with a chance of a half: 20 x 300 for "ten", which fits, and 20 x 150 for "two"."""
    told = shell.json(capsys, "plan", "--app", "shop", "--out", tmp_path / "chosen.parquet")
    offers = {one["offer_id"]: one for one in told["offers"]}
    assert (told["currency"], told["budget"], told["days"]) == ("CNY", None, 7)
    assert offers["ten"]["expected_cost"] == pytest.approx(20 * 300)
    assert offers["ten"]["expected_profit"] == pytest.approx(20 * 200)
    assert offers["two"]["visitors"] == pytest.approx(20)
    assert told["total"]["profit"] == pytest.approx(20 * 200 + 20 * 50)
    assert told["total"]["low"] == pytest.approx(20 * (200 - 90) + 20 * (50 - 9))  # 5% of the way between two draws
    chosen = pq.read_table(tmp_path / "chosen.parquet").to_pylist()
    assert len(chosen) == told["rows"] == USERS
    assert chosen[0] == {"user_id": "u000", "offer_id": "ten", "expected_profit": 200.0, "expected_cost": 300.0}


def test_what_if_shows_other_budgets_and_segments(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    told = shell.json(capsys, "plan", "--app", "shop", "--budget", 3000, "--what-if")
    points = told["frontier"]
    assert [one["budget"] for one in points] == [0, 1500, 3000, 6000, None]
    profits = [one["profit"] for one in points]
    assert profits == sorted(profits)
    assert profits[0] == 0
    assert profits[2] == pytest.approx(3000 * 200 / 300, rel=0.1)  # "ten" earns 2/3 of what it costs, "two" a third
    assert all(one["cost"] <= one["budget"] for one in points[:-1])
    assert all(one["low"] <= one["profit"] <= one["high"] for one in points)
    even = next(one for one in told["segments"] if one["segment"] == "even")
    assert even == {"segment": "even", "members": USERS // 2, "visitors": 1.0, "spending": 1.0}
    code, said, _ = shell(capsys, "plan", "--app", "shop", "--budget", 3000, "--what-if")
    assert code == 0
    assert "unlimited" in said
    assert "minor units of CNY" in said


def test_an_offer_that_ended_since_the_night_is_named(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    two = OFFERS[1]
    shell.store.upsert("shop", "offers", [{**two, "ends": datetime(2026, 1, 1, tzinfo=UTC)}])
    told = shell.json(capsys, "plan", "--app", "shop")
    _, said, _ = shell(capsys, "plan", "--app", "shop")
    shell.store.upsert("shop", "offers", [{**two, "ends": None}])
    assert told["not_running"] == ["two"]
    assert "not running in these days: two" in said
    assert shell.json(capsys, "plan", "--app", "shop")["not_running"] == []


def test_a_published_budget_reaches_the_day(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    told = shell.json(capsys, "plan", "--app", "shop", "--budget", 2_000_000, "--days", 3, "--publish")
    spending = shell.store.offer_total("shop")
    assert spending is not None
    assert (spending.total.budget, spending.spent) == (2_000_000, 0)
    assert spending.total.last_day - spending.total.first_day == 3, "the rest of today and three whole days"
    settings = shell.store.app("shop")
    assert told["published"] == {"from": settings.offer_budget_from, "until": settings.offer_budget_until}
    again = shell.json(capsys, "plan", "--app", "shop", "--days", 3)
    assert 0.7 * 2_000_000 < again["budget"] <= 2_000_000  # its even share of the days left
    assert told["in_force"].endswith("(Asia/Shanghai): claims keep it")


def test_who_refused_since_is_in_no_plan(shell: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell.store.upsert("shop", "users", [{"user_id": "u000", "consent": False}])
    try:
        shell.json(capsys, "plan", "--app", "shop", "--out", tmp_path / "chosen.csv")
        assert "u000" not in pa_csv.read_csv(tmp_path / "chosen.csv")["user_id"].to_pylist()
    finally:
        shell.store.upsert("shop", "users", [{"user_id": "u000", "consent": True}])


def test_who_is_held_out_is_given_nothing(shell: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell.store.save_app(AppSettings("shop", offer_control_share=0.5))
    shell.json(capsys, "plan", "--app", "shop", "--out", tmp_path / "chosen.parquet")
    tenant = shell.store.tenant("shop")
    treated = [name for name in NAMES if not in_offer_control(tenant, name)]
    assert pq.read_table(tmp_path / "chosen.parquet")["user_id"].to_pylist() == treated


def test_an_offer_that_is_gone_gets_nothing(shell: Shell) -> None:
    desk = Planning(shell.process, shell.store, "shop", END)
    assert desk.budgets(7).offers == [pytest.approx(10_000), None]
    shell.store.upsert("shop", "offers", [OFFERS[0] | {"budget": 0}])
    assert Planning(shell.process, shell.store, "shop", END).budgets(7).offers == [0, None]
    shell.store.upsert("shop", "offers", OFFERS)


def test_before_the_first_night_there_is_no_plan(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.store.add_app(AppSettings("cafe"))
    with pytest.raises(NothingThere, match="nightly"):
        _ = Planning(shell.process, shell.store, "cafe").plan
    code, _, err = shell(capsys, "plan", "--app", "cafe")
    assert code == NothingThere.exit_code
    assert "huaxiang nightly --app cafe" in err
    assert shell(capsys, "plan", "--app", "shop", "--publish")[0] == 2


def test_messages_go_to_whom_permissions_allow(
    shell: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """After the night the first odd visitors subscribe; of them one unsubscribes and one is written to twice."""
    at = END + timedelta(hours=4)  # 16:00 in Shanghai
    tell(shell.store, "subscribe", ["u001", "u003", "u005", "u005", "u005", "u007"], END + timedelta(minutes=1))
    tell(shell.store, "unsubscribe", ["u003"], END + timedelta(minutes=2))
    tell(shell.store, "message_sent", ["u005", "u005"], END + timedelta(minutes=3))
    out = tmp_path / "messages.csv"
    told = shell.json(capsys, "reach", "--app", "shop", "--at", at.isoformat(), "--out", out)
    rows = {one["user_id"]: one for one in pa_csv.read_csv(out).to_pylist()}
    assert set(rows) == {"u001", "u007", "u009"}
    assert told["permitted"] == 4  # u005 has one left, and had two this week
    assert {one["offer_id"] for one in rows.values()} == {"two"}
    due = {user: datetime.fromisoformat(str(one["send_at"])) for user, one in rows.items()}
    assert due["u009"] == at + timedelta(hours=3)  # 19:00 in Shanghai
    assert due["u001"] == at  # all hours are alike: at once
    fewer = shell.json(capsys, "reach", "--app", "shop", "--at", at.isoformat(), "--n", 1)
    assert fewer["messages"] == 1
