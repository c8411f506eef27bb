"""Customer files of other systems through the command line: planted lots come back as trials."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portraits.engine import connect
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.offers.features import KNOWN
from recommender.offers.trials import Trials, trials
from serving.cli import main
from serving.settings import ProcessSettings

FORMS = Path(__file__).parents[2] / "notebooks" / "mappings" / "forms"
AS_OF = datetime(2021, 1, 1, tzinfo=UTC)
ARMS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")
CUSTOMERS, PEOPLE = 600, 400
FEW = {"p0", "p1", "p2", "p4"}

Row = dict[str, Any]


def imported(home: Path, app: str, files: list[tuple[str, Path, str]]) -> None:
    """Each file into its table by a mapping of `FORMS`, as a merchant would."""
    for table, path, form in files:
        arguments = ["import", table, "--app", app, "--from", str(path), "--map", str(FORMS / f"{form}.toml")]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code, (home, form)


def tried(home: Path, settings: AppSettings) -> Trials:
    """What `offers export` would learn from."""
    lake = Lake(ProcessSettings(home=home, secret="only for tests").lake)
    return trials(lake.snapshot(settings.app_id), settings, AS_OF, connect())


def customers() -> list[Row]:
    """A row a customer; the arm is drawn, and two rows are alike."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(CUSTOMERS):
        arm, mens = ARMS[rng.integers(3)], int(rng.integers(2))
        visited = rng.random() < (0.2 if arm == "No E-Mail" else 0.5)
        bought = visited and rng.random() < 0.5
        rows.append(
            {
                "recency": int(rng.integers(1, 13)),
                "history_segment": ("1) $0 - $100", "2) $100 - $200", "3) $200 - $350")[rng.integers(3)],
                "history": round(float(rng.random() * 300), 2),
                "mens": mens,
                "womens": 1 - mens,
                "zip_code": ("Urban", "Rural", "Surburban")[rng.integers(3)],
                "newbie": int(rng.integers(2)),
                "channel": ("Web", "Phone", "Multichannel")[rng.integers(3)],
                "segment": arm,
                "visit": int(visited),
                "conversion": int(bought),
                "spend": "29.99" if bought else "0",
            }
        )
    rows[1] = rows[0]
    return rows


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def shell(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUAXIANG_HOME", str(home))
    for app in ("mail", "cafe", "kiosk"):
        with pytest.raises(SystemExit) as ended:
            main(["app", "add", app])
        assert not ended.value.code
    return home


def test_a_file_of_one_row_a_customer_comes_back_as_its_lots(shell: Path, tmp_path: Path) -> None:
    rows, path = customers(), tmp_path / "customers.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    files = [(table, path, f"one_row_{table}") for table in ("users", "decisions", "events")]
    imported(shell, "mail", files + files[1:])  # twice is once
    found = tried(shell, AppSettings("mail"))
    assert len(found) == CUSTOMERS
    assert found.offers == tuple(sorted(ARMS[:2]))
    order = np.argsort([int(name[1:]) for name in found.user_id])
    names = np.array([*found.offers, "No E-Mail"])
    assert names[found.action[order]].tolist() == [row["segment"] for row in rows]
    assert found.propensity == pytest.approx(np.full(CUSTOMERS, 1 / 3))
    assert found.bought[order].tolist() == [row["conversion"] for row in rows]
    assert found.margin[order].tolist() == [2_999 * row["conversion"] for row in rows]
    assert found.complete.all()
    assert not found.cost.any()
    column = {name: found.X[order, place] for place, name in enumerate(found.names)}
    assert column["history"].tolist() == pytest.approx([row["history"] for row in rows])
    assert column["place=Rural"].tolist() == [row["zip_code"] == "Rural" for row in rows]
    known = [name for name in found.names if np.isfinite(column[name]).any()]
    assert set(known) <= set(found.names[len(KNOWN) :]), "nothing but what was declared was known before"


def log() -> tuple[list[Row], list[Row], list[Row]]:
    """People, offers and a log: o1 goes to a random half at hour 0. Who views it buys more often. Who buys enough
    completes it, seen or not."""
    rng = np.random.default_rng(2)
    offers = [{"id": "o1", "offer_type": "bogo", "reward": 2, "difficulty": 5, "duration": 7}]
    people, told = [], []
    for n in range(PEOPLE):
        joined = {"became_member_on": 20170212, "age": 118 if n % 5 else 40, "gender": None, "income": 5e4}
        people.append({"id": f"p{n}", **joined})
        sent, viewed = n % 2 == 0, rng.random() < 0.6
        bought = rng.random() < (0.8 if sent and viewed else 0.4)
        lines: list[tuple[str, Row, float]] = [("offer received", {"offer id": "o1"}, 0)] if sent else []
        lines += [("offer viewed", {"offer id": "o1"}, 6)] if sent and viewed else []
        lines += [("transaction", {"amount": 7.5}, 24.5)] if bought else []
        lines += [("offer completed", {"offer_id": "o1", "reward": 2}, 24.5)] if sent and bought else []
        told += [{"person": f"p{n}", "event": kind, "value": value, "time": time} for kind, value, time in lines]
    return people, offers, told


def test_a_log_of_offers_comes_back_and_unseen_completions_are_a_cost(shell: Path, tmp_path: Path) -> None:
    people, offers, told = log()
    files = []
    for name, table, form, rows in (
        ("profile", "users", "offer_events_users", people),
        ("portfolio", "offers", "offer_events_offers", offers),
        ("transcript", "events", "offer_events", told),
    ):
        path = tmp_path / f"{name}.json"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files.append((table, path, form))
    imported(shell, "cafe", files)
    found = tried(shell, AppSettings("cafe", offer_days=7))
    given, rest = found.action == 0, found.action < 0
    assert (found.offers, int(given.sum()), int(rest.sum())) == (("o1",), PEOPLE // 2, PEOPLE // 2)
    assert np.isnan(found.propensity).all(), "the log does not tell by what chance"
    viewed = {row["person"] for row in told if row["event"] == "offer viewed"}
    completed = {row["person"] for row in told if row["event"] == "offer completed"}
    bought = {row["person"] for row in told if row["event"] == "transaction"}
    users = np.array(found.user_id)
    assert set(users[found.exposed]) == viewed
    assert set(users[found.bought > 0]) == bought
    assert (set(users[found.cost > 0]), set(found.cost)) == (completed, {0.0, 200.0})
    assert set(users[found.unseen > 0]) == completed - viewed
    assert found.margin[found.bought > 0] == pytest.approx(750)
    effect = found.bought[given].mean() - found.bought[rest].mean()
    error = np.sqrt(found.bought[given].var() / given.sum() + found.bought[rest].var() / rest.sum())
    assert abs(effect - 0.6 * 0.4) < 2 * error, "of those who looked; nothing of those who did not"
    blind = given & ~found.exposed
    assert found.bought[blind].mean() == pytest.approx(0.4, abs=0.12)
    assert {"age", "income"} <= set(found.names)


def test_a_log_as_csv_with_values_as_python_prints_them_is_the_same(shell: Path, tmp_path: Path) -> None:
    people, offers, told = log()
    files = []
    for name, table, form, rows in (
        ("profile", "users", "offer_events_csv_users", people[:60]),
        ("portfolio", "offers", "offer_events_csv_offers", offers),
        ("transcript", "events", "offer_events_csv", [row for row in told if row["person"] in FEW]),
    ):
        path = tmp_path / f"{name}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        files.append((table, path, form))
    imported(shell, "kiosk", files)
    con = connect()
    snapshot = Lake(ProcessSettings(home=shell, secret="only for tests").lake).snapshot("kiosk")
    events = snapshot.events(con).select("user_id", "type", "offer_id", "discount", "amount").to_pyarrow().to_pylist()
    kinds = {
        "offer received": "message_sent",
        "offer viewed": "offer_exposure",
        "offer completed": "offer_redeem",
        "transaction": "purchase",
    }
    meant = [
        (row["person"], kinds[row["event"]], None if row["event"] == "transaction" else "o1")
        for row in told
        if row["person"] in FEW
    ]
    assert sorted((row["user_id"], row["type"], str(row["offer_id"])) for row in events) == sorted(
        (user, kind, str(offer)) for user, kind, offer in meant
    )
    assert {row["discount"] for row in events if row["type"] == "offer_redeem"} <= {200}
    assert {row["amount"] for row in events if row["type"] == "purchase"} == {750}


def test_a_customer_who_is_there_twice_bought_once(shell: Path, tmp_path: Path) -> None:
    """With ids in the file: the form says where the column's name goes."""
    form = (FORMS / "one_row_events.toml").read_text()
    mapping, path = tmp_path / "mine.toml", tmp_path / "mine.csv"
    mapping.write_text(form.replace("_line", "id"))
    path.write_text("id,visit,conversion,spend\na,1,1,9.99\nb,1,0,0\na,1,1,9.99\n")
    with pytest.raises(SystemExit):
        main(["app", "add", "twice"])
    with pytest.raises(SystemExit) as ended:
        main(["import", "events", "--app", "twice", "--from", str(path), "--map", str(mapping)])
    assert not ended.value.code
    snapshot = Lake(ProcessSettings(home=shell, secret="only for tests").lake).snapshot("twice")
    events = snapshot.events(connect()).select("user_id", "type").to_pyarrow().to_pylist()
    assert sorted((row["user_id"], row["type"]) for row in events) == [
        ("ca", "page_view"),
        ("ca", "purchase"),
        ("cb", "page_view"),
    ]


def test_a_file_of_which_no_row_is_taken_says_so_aloud(
    shell: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"offer_id": "o", "starts": "2026-03-02T00:00:00Z", "ends": "2026-03-01T00:00:00Z"}\n')
    with pytest.raises(SystemExit):
        main(["import", "offers", "--app", "kiosk", "--from", str(path)])
    assert "NOTHING was imported: all 1 rows were refused" in " ".join(capsys.readouterr().out.split())
