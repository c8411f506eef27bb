"""`huaxiang` as people and machines call it: verbs, exit codes, JSON, files."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import typer
from planted_answers import answer, event, lake_of
from planted_app import night, open_shop, publish_night

from portraits.history import TABLES
from serving.cli import VERBS, main
from serving.cli.output import moment
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.summary import NightSummary

DESIGNED = {
    "demo", "app", "merchant", "provider", "key", "import", "doctor", "nightly", "portraits", "segments",
    "recommend", "evaluate", "models", "forget", "export", "rules", "serve", "earned", "backup", "restore", "offers",
}  # fmt: skip


class Shell:
    """Calls of the command line in this process, in one home folder."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys
        monkeypatch.setenv("HUAXIANG_HOME", str(home))

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    def json(self, *arguments: object) -> object:
        """The JSON that a call that must succeed prints."""
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path / "home", monkeypatch, capsys)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def test_help_names_every_verb_and_imports_none() -> None:
    heavy = ("ibis", "duckdb", "pyarrow", "numpy", "sqlalchemy", "bentoml")
    code = f"""if True:
        import sys
        from serving.cli import main
        try:
            main(["--help"])
        except SystemExit:
            print(*[name for name in {heavy} if name in sys.modules])
    """
    out = run("-c", code).stdout
    assert set(VERBS) == DESIGNED
    for verb in VERBS:
        assert f"  {verb} " in out
    assert out.splitlines()[-1] == ""


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_helps_and_says_the_same_as_the_table(name: str, shell: Shell) -> None:
    verb = VERBS[name].load()
    code, out, _ = shell(name, "--help")
    assert code == 0
    if isinstance(verb, typer.Typer):
        for command in verb.registered_commands:
            assert command.name is not None
            assert shell(name, command.name, "--help")[0] == 0
    else:
        assert inspect.getdoc(verb).splitlines()[0] == VERBS[name].line
    assert VERBS[name].line.split()[0] in out


def test_import_names_every_table_of_the_contract(shell: Shell) -> None:
    out = " ".join(shell("import", "--help")[1].split())
    for table in TABLES:
        assert table in out


def test_an_app_is_added_once_set_and_listed(shell: Shell) -> None:
    assert shell("app", "add", "shop")[:2] == (0, "shop: added\n")
    assert shell("app", "add", "shop")[:2] == (0, "shop: there already\n")
    assert shell("app", "set", "shop", "currency=EUR", "control_share=0.1")[0] == 0
    assert shell("app", "set", "shop", "currency=USD", "control_share=7")[0] == 2
    listed = shell.json("app", "list")
    assert [(app["app_id"], app["currency"], app["control_share"]) for app in listed] == [("shop", "EUR", 0.1)]


def test_a_key_is_printed_once_listed_without_itself_and_revoked(shell: Shell) -> None:
    shell("app", "add", "shop")
    key = shell("key", "create", "--app", "shop", "--scope", "events")[1].strip()
    store = Store.open(ProcessSettings(home=shell.home).store_url)
    found = store.find_key(key)
    assert found is not None
    listed = shell("key", "list", "--app", "shop")[1]
    assert found.key_id in listed
    assert key not in listed
    assert shell("key", "revoke", found.key_id, "--app", "shop")[0] == 0
    assert store.find_key(key) is None
    assert shell("key", "revoke", "nothing", "--app", "shop")[0] == 1


def test_merchants_and_providers_are_added_listed_and_given_keys(shell: Shell) -> None:
    assert shell("merchant", "list")[1].startswith("no merchant yet")
    assert shell("provider", "list")[1].startswith("no provider yet")
    assert shell("provider", "add", "house", "--name", "The House")[:2] == (0, "house: added\n")
    assert shell("provider", "add", "house")[:2] == (0, "house: there already\n")
    assert shell("merchant", "add", "tea", "--provider", "house")[:2] == (0, "tea: added\n")
    assert shell("app", "add", "shop", "--merchant", "tea")[:2] == (0, "shop: added\n")
    assert shell.json("provider", "list") == [{"provider_id": "house", "name": "The House", "merchants": 1}]
    tea = {"merchant_id": "tea", "name": "tea", "provider_id": "house", "apps": ["shop"]}
    assert shell.json("merchant", "list", "--provider", "house") == shell.json("merchant", "list") == [tea]
    assert "shop" in shell("merchant", "list")[1]
    assert shell("key", "list", "--provider", "house")[1].startswith("no key yet")
    made = shell.json("key", "create", "--provider", "house", "--scope", "recommend")
    assert isinstance(made, dict)
    assert made["provider_id"] == "house"
    assert shell("key", "list", "--app", "shop")[1].startswith("no key yet"), "it is the provider's"
    for wrong in (("--scope", "events"), ("--app", "shop", "--provider", "house", "--scope", "events")):
        assert shell("key", "create", *wrong)[0] == 2
    assert shell("merchant", "add", "bread", "--provider", "nobody")[0] == 1
    assert shell("app", "add", "kiosk", "--merchant", "nobody")[0] == 1


def test_a_key_rotates(shell: Shell) -> None:
    shell("app", "add", "shop")
    store = Store.open(ProcessSettings(home=shell.home).store_url)
    old = shell("key", "create", "--app", "shop", "--scope", "events")[1].strip()
    found = store.find_key(old)
    assert found is not None
    new = shell("key", "rotate", found.key_id, "--grace", "2")[1].strip()
    listed = shell.json("key", "list", "--app", "shop")
    assert isinstance(listed, list)
    assert [(key["scope"], key["revoked"], key["ends"] is None) for key in listed] == [
        ("events", False, False),
        ("events", False, True),
    ]
    told = shell.json("key", "rotate", found.key_id, "--grace", "0")
    assert isinstance(told, dict)
    assert (told["old"]["key_id"], told["app_id"]) == (found.key_id, "shop")
    assert [store.find_key(key) is None for key in (old, new, told["key"])] == [True, False, False]
    (code, _, said) = shell("key", "rotate", found.key_id)
    assert code == 1
    assert "key create" in said
    assert shell("key", "revoke", listed[1]["key_id"])[0] == 0
    assert store.find_key(new) is None


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("bogus",), 2, "No such command"),
        (("app", "add", "Not An App"), 2, "app_id = 'Not An App'"),
        (("app", "set", "shop", "currency"), 2, "KEY=VALUE"),
        (("app", "set", "shop", "colour=red"), 2, "unknown setting 'colour'"),
        (("key", "list", "--app", "nope"), 2, "no app 'nope'"),
        (("key", "create", "--app", "shop"), 2, "--scope"),
        (("doctor", "--app", "nope"), 2, "no app 'nope'"),
        (("nightly",), 2, "--app APP or --all"),
        (("nightly", "--app", "shop", "--all"), 2, "--app APP or --all"),
        (("nightly", "--app", "shop", "--as-of", "yesterday"), 2, "--as-of"),
        (("nightly", "--app", "shop", "--as-of", "2026-01-01T00:00:00"), 2, "offset"),
        (("nightly", "--app", "shop", "--as-of", "2199-01-01T00:00:00Z"), 2, "has passed"),
        (("import", "nonsense", "--app", "shop", "--from", __file__), 2, "unknown table 'nonsense'"),
        (("import", "events", "--app", "shop", "--from", "no-such-file.csv"), 2, "no-such-file.csv"),
        (("portraits", "export", "--app", "shop", "--out", "no/such/folder.parquet"), 2, "--out"),
        (("portraits", "show", "ann", "--app", "shop"), 1, "no portraits 'shop'"),
        (("models", "rollback", "--app", "shop"), 1, "no version of 'shop'; nothing was published yet"),
        (("earned", "--app", "shop", "--from", "March"), 2, "--from"),
        (("earned", "--app", "shop", "--from", "2026-03-02", "--to", "2026-03-01"), 2, "--to"),
        (("earned", "--app", "shop"), 1, "no answers in the history of 'shop'"),
        (("evaluate",), 2, "--train"),
        (("evaluate", "--app", "shop", "--train", "x.csv"), 2, "--train"),
        (("evaluate", "--app", "shop", "--seed", "-1"), 2, "--seed"),
        (("evaluate", "--app", "shop", "--seed", "0"), 2, "--seed = '0': expected --train F and --test F beside it"),
        (("evaluate", "--app", "shop", "--users", "all"), 2, "--users"),
        (("evaluate", "--app", "shop", "--trials", "3"), 2, "--trials"),
        (("evaluate", "--app", "shop", "--out", "x.parquet"), 2, "--out"),
        (("evaluate", "--app", "shop", "--out", "x.csv"), 2, "a name that ends with .parquet"),
        (("evaluate", "--app", "shop"), 1, "no backtest of 'shop'; 30 returning visitors are needed"),
        (("portraits", "export", "--app", "shop", "--out", "x.csv"), 2, "a name that ends with .parquet"),
        (("serve", "--port", "99999"), 2, "--port"),
    ],
)
def test_wrong_use_is_2_failure_is_1_and_both_say_why(
    shell: Shell, arguments: tuple[str, ...], code: int, says: str
) -> None:
    shell("app", "add", "shop")
    ended, out, err = shell(*arguments)
    assert (ended, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


def test_an_error_is_json_for_machines(shell: Shell) -> None:
    code, _, err = shell("key", "list", "--app", "nope", "--json")
    error = json.loads(err)["error"]
    assert (code, error["code"], error["field"]) == (2, "unknown_app", "app_id")


def test_import_accounts_for_every_row_and_the_next_request_sees_it(shell: Shell, tmp_path: Path) -> None:
    shell("app", "add", "shop")
    items = tmp_path / "items.csv"
    items.write_text("item_id,title,price\ntea,龙井茶 😀,12800\npot,茶壶,not a price\n", "utf-8")
    report = shell.json("import", "items", "--app", "shop", "--from", items)
    assert (report["rows"], report["accepted"], report["quarantined"]) == (2, 1, 1)
    again = shell.json("import", "items", "--app", "shop", "--from", items)
    assert (again["accepted"], again["duplicates"], again["events"]) == (0, 1, 0)
    store = Store.open(ProcessSettings(home=shell.home).store_url)
    assert store.row("shop", "items", "tea")["title"] == "龙井茶 😀"
    code, out, _ = shell("import", "items", "--app", "shop", "--from", items)
    assert code == 0
    assert out.splitlines()[0].split() == ["rows", "2"]


def test_a_request_that_changed_an_item_meanwhile_is_not_undone_by_an_import(shell: Shell, tmp_path: Path) -> None:
    shell("app", "add", "shop")
    items = tmp_path / "items.jsonl"
    items.write_text('{"item_id": "tea", "price": 100}\n{"item_id": "pot", "price": 200}\n')
    shell("import", "items", "--app", "shop", "--from", items)
    store = Store.open(ProcessSettings(home=shell.home).store_url)
    store.upsert("shop", "items", [{"item_id": "pot", "price": 250}])
    items.write_text('{"item_id": "tea", "price": 110}\n')
    shell("import", "items", "--app", "shop", "--from", items)
    assert [store.row("shop", "items", item)["price"] for item in ("tea", "pot")] == [110, 250]


def test_batch_answers_for_known_and_unknown_visitors(shell: Shell, tmp_path: Path) -> None:
    _, store = open_shop(shell.home)
    store.upsert("shop", "users", [{"user_id": "eve", "consent": False}])
    users = tmp_path / "users.csv"
    users.write_text("name,user_id\nAnn,ann\nBob,stranger\nAnn again,ann\nEve,eve\n")
    out = tmp_path / "answers.parquet"
    said = shell.json("recommend", "--app", "shop", "--users", users, "--n", "3", "--out", out)
    assert said == {"visitors": 3, "rows": 9, "out": str(out)}
    rows = pq.read_table(out).to_pylist()
    assert [row["rank"] for row in rows] == [1, 2, 3] * 3
    assert [row["item_id"] for row in rows if row["user_id"] == "ann"] == ["green", "black", "white"]
    assert [row["item_id"] for row in rows if row["user_id"] == "stranger"][:2] == ["cup", "mug"]
    assert list(tmp_path.glob(".answers*")) == []


def test_batch_answers_are_written_as_the_name_says(shell: Shell, tmp_path: Path) -> None:
    open_shop(shell.home)
    users = tmp_path / "users.jsonl"
    users.write_text('{"user_id": " ann "}\n{"user_id": "7"}\n')
    asked = ("recommend", "--app", "shop", "--users", users, "--n", "2", "--out")
    for name in ("a.parquet", "a.CSV"):
        assert shell.json(*asked, tmp_path / name)["visitors"] == 2
    rows = pa_csv.read_csv(tmp_path / "a.CSV").to_pylist()
    assert [(row["user_id"], row["rank"], row["item_id"]) for row in rows[:2]] == [
        ("ann", 1, "green"),
        ("ann", 2, "black"),
    ]
    assert [row["item_id"] for row in rows] == pq.read_table(tmp_path / "a.parquet")["item_id"].to_pylist()
    code, _, err = shell(*asked, tmp_path / "a.xlsx")
    assert (code, "ends with .parquet or .csv" in err) == (2, True)
    assert not list(tmp_path.glob("*.xlsx"))


def test_users_without_the_column_are_refused(shell: Shell, tmp_path: Path) -> None:
    open_shop(shell.home)
    users = tmp_path / "users.csv"
    users.write_text("name\nann\n")
    out = tmp_path / "out.parquet"
    code, _, err = shell("recommend", "--app", "shop", "--users", users, "--n", "3", "--out", out)
    assert (code, out.exists()) == (1, False)
    assert "no column user" in err


def test_what_the_recommender_earns_is_told_beside_its_control_group(shell: Shell) -> None:
    shell("app", "add", "shop")
    decisions = [
        answer(f"d{n}", f"u{n}", n, "tea", "cup", arm="treated" if n % 3 else "control", placement="home")
        for n in range(90)
    ]
    events = [event(f"u{n}", "click", "tea", n + 0.1, decision_id=f"d{n}") for n in range(0, 90, 2)]
    events += [event(f"u{n}", "purchase", "tea", n + 1, amount=500) for n in range(0, 90, 2)]
    lake_of(ProcessSettings(home=shell.home).lake, events, decisions)
    span = ("--from", "2026-03-01", "--to", "2026-03-31")
    told = shell.json("earned", "--app", "shop", *span)
    assert (told["from"], told["to"]) == ("2026-02-28T16:00:00Z", "2026-03-31T16:00:00Z")
    assert told["visitors"] == {"treated": 60, "control": 30}
    assert told["figures"]["value"]["treated"] == 250
    assert told["counts"]["by a click"] == 45
    words = shell("earned", "--app", "shop", *span)[1]
    for said in ("60 visitors with the recommender, 30 in the control group", "too few to tell", "home", "als"):
        assert said in words


def test_versions_are_listed_and_the_one_before_comes_back(shell: Shell) -> None:
    planted = importlib.import_module("planted_app")
    settings, store = planted.open_shop(shell.home)
    first = store.active("shop").bundle.version
    second = planted.publish_night(settings, store, planted.night())
    listed = shell.json("models", "list", "--app", "shop")
    assert [(one["version"], one["active"]) for one in listed] == [(second, True), (first, False)]
    assert shell.json("models", "rollback", "--app", "shop")["version"] == first
    assert shell("models", "promote", second, "--app", "shop")[:2] == (0, f"shop: {second} is served\n")
    assert shell("models", "promote", "unknown", "--app", "shop")[0] == 1


def test_nights_are_a_table_of_what_each_saw_tried_and_decided(shell: Shell) -> None:
    shell("app", "add", "shop")
    assert shell("models", "nights", "--app", "shop")[:2] == (0, "no night yet; huaxiang nightly --app shop\n")
    store = Store.open(ProcessSettings(home=shell.home).store_url)
    rows = [
        {"part": part, "name": name, "users": 90, "ndcg": [value, 0.1, 0.4]}
        for part, name, value in (("all", "served", 0.36), ("all", "recent_popular", 0.14), ("new", "served", 0.11))
    ]
    tried = [{"params": {}}] * 3 + [{"params": {"alpha": 2}}] * 12
    end = datetime(2026, 3, 2, tzinfo=UTC)
    for day, status in enumerate(("published", "held")):
        run_id, as_of = f"r{day}", end + timedelta(days=day)
        summary = NightSummary(
            "shop", run_id, as_of, status, f"because {day}", version=run_id, history={"events": 1_234},
            census={"interactions": 1_000, "users": 90, "items": 30}, tuning={"trials": tried},
            backtest={"k": 10, "rows": rows},
        )  # fmt: skip
        store.start_run("shop", run_id, as_of)
        store.step_done("shop", run_id, "train", {"seconds": 61.5})
        store.finish_run("shop", run_id, status, summary.to_dict())
    store.start_run("shop", "r2", end + timedelta(days=2))
    running, held, published = shell.json("models", "nights", "--app", "shop")
    assert (running["status"], running["version"], running["ndcg"]["all"]["served"]) == ("running", None, None)
    assert (held["status"], held["reason"], held["trials"]) == ("held", "because 1", 12)
    assert held["seconds"] == {"train": 61.5}
    assert (held["events"], held["visitors"], held["items"]) == (1_234, 90, 30)
    assert held["ndcg"]["all"] == {"served": [0.36, 0.1, 0.4], "recent_popular": [0.14, 0.1, 0.4]}
    assert held["ndcg"]["new"]["recent_popular"] is None
    assert published["as_of"] == "2026-03-02T00:00:00Z"
    words = " ".join(shell("models", "nights", "--app", "shop")[1].split())
    for text in ("held", "because 1", "0.360", "0.140", "1,234"):
        assert text in words


def test_a_held_version_is_listed_and_promoted(shell: Shell) -> None:
    settings, store = open_shop(shell.home)
    served = store.active("shop").bundle.version
    portraits = shell.home / "made-portraits"
    portraits.mkdir()
    held = publish_night(settings, store, night(), portraits=portraits, held=True)
    listed = shell.json("models", "list", "--app", "shop")
    states = [(one["version"], one["active"], one["held"]) for one in listed]
    assert states == [(served, True, False), (held, False, True)]
    assert "held back" in shell("models", "list", "--app", "shop")[1]
    assert shell("models", "promote", held, "--app", "shop")[:2] == (0, f"shop: {held} is served\n")
    assert "active, held back" in shell("models", "list", "--app", "shop")[1]
    assert shell.json("models", "rollback", "--app", "shop")["version"] == served


def test_a_backtest_of_two_files(shell: Shell, tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    pairs = [(user, item) for user in range(40) for item in range(12) if (user + item) % 3]
    train.write_text("user,item\n" + "".join(f"u{user},i{item}\n" for user, item in pairs))
    test.write_text("user,item\n" + "".join(f"u{user},i{(user * 2) % 12}\n" for user in range(40)))
    out = tmp_path / "lists.parquet"
    files = ("evaluate", "--train", train, "--test", test)
    table = shell.json(*files, "--k", "5", "--k", "10", "--users", "30", "--trials", "0", "--out", out)
    assert {"popular", "served"} <= {row["name"] for row in table["rows"]}
    assert {row["k"] for row in table["rows"]} == {5, 10}
    assert table["about"]["users judged"] == 30
    assert {row["part"] for row in pq.read_table(out).to_pylist()} == {"all", "new"}
    assert shell(*files, "--users", "some")[0] == 2
    test.write_text("who,what\n")
    assert shell("evaluate", "--train", train, "--test", test)[0] == 1


def test_a_time_needs_its_offset() -> None:
    parsed = moment("--as-of", "2026-11-20T03:00:00+08:00")
    assert parsed is not None
    assert parsed.isoformat() == "2026-11-20T03:00:00+08:00"
    assert moment("--as-of", None) is None


def test_rules_are_imported_listed_and_deleted(shell: Shell, tmp_path: Path) -> None:
    open_shop(shell.home)[1].close()
    source = tmp_path / "rules.csv"
    source.write_text("rule_id,kind,item_id,position,factor,brand\np,pin,white,1,,\nb,boost,,,2,Lu\n")
    assert shell.json("rules", "import", "--app", "shop", "--from", source) == {
        "rules": 2,
        "changed": 2,
        "unchanged": 0,
        "unknown": ["b"],
    }
    listed = shell.json("rules", "list", "--app", "shop")
    assert isinstance(listed, list)
    assert [(row["rule_id"], row["when"]) for row in listed] == [("b", "now"), ("p", "now")]
    assert "white" in shell("rules", "list", "--app", "shop")[1]
    users, out = tmp_path / "users.csv", tmp_path / "out.parquet"
    users.write_text("user_id\nann\n")
    shell.json("recommend", "--app", "shop", "--users", users, "--n", 2, "--out", out)
    assert pq.read_table(out)["item_id"].to_pylist() == ["white", "green"]
    code, _, err = shell("rules", "delete", "p", "gone", "--app", "shop")
    assert (code, "'gone'" in err, "rules list" in err) == (1, True, True)
    source.write_text("rule_id,kind,item_id,position\np,pin,nowhere,1\n")
    assert "p: item 'nowhere' is not known yet" in shell("rules", "import", "--app", "shop", "--from", source)[1]
    assert "item 'nowhere'" in shell("rules", "list", "--app", "shop")[1]
    deleted = shell.json("rules", "delete", "p", "b", "--app", "shop")
    assert deleted == {"rule_ids": ["p", "b"], "deleted": 2}
    assert shell.json("rules", "list", "--app", "shop") == []
    source.write_text("rule_id,kind\np,push\n")
    code, _, err = shell("rules", "import", "--app", "shop", "--from", source)
    assert (code, "rules[0].kind" in err) == (2, True)


def test_an_offer_goes_to_wechat_and_its_stock_and_coupons_come_back(shell: Shell, tmp_path: Path) -> None:
    offer = {"offer_id": "o1", "title": "5 off 30", "kind": "cash", "value": 500, "budget": 5_000, "stores": ["s1"]}
    offer |= {"starts": "2026-06-01T00:00:00Z", "ends": "2026-07-01T00:00:00Z", "per_user_limit": 1}
    given, stock, told = tmp_path / "offers.jsonl", tmp_path / "stock.json", tmp_path / "coupons.json"
    given.write_text(json.dumps(offer))
    shell("app", "add", "tea")
    shell("import", "offers", "--app", "tea", "--from", given)
    write = ("offers", "to-wechat", "--app", "tea", "--offer", "o1", "--kind", "favor", "--merchant", "1900000109")
    code, _, err = shell(*write, "--out", stock)
    assert (code, stock.exists()) == (2, False)
    assert "--accept stores" in err
    assert shell(*write, "--accept", "stores", "--out", stock)[0] == 0
    body = json.loads(stock.read_text())
    assert body["stock_use_rule"]["max_coupons"] == 10
    stock.write_text(json.dumps(body | {"stock_id": "9"}))
    read = ("offers", "from-wechat", "--app", "tea", "--from")
    assert shell.json(*read, stock) == {"offers": {"accepted": 1, "duplicates": 0, "quarantined": 0}}
    coupon = {"stock_id": "9", "coupon_id": "c1", "openid": "oV1", "coupon_state": "USED"}
    coupon |= {"receive_time": "2026-06-02T10:00:00+08:00", "use_time": "2026-06-03T10:00:00+08:00"}
    told.write_text(json.dumps({"data": [coupon]}))
    assert shell.json(*read, told, "--stock", "9=o1") == {"events": {"accepted": 2, "duplicates": 0, "quarantined": 0}}
    assert shell.json(*read, told, "--stock", "9=o1") == {"events": {"accepted": 0, "duplicates": 2, "quarantined": 0}}
    code, _, err = shell("offers", "to-wechat", "--app", "tea", "--offer", "o2", "--kind", "favor", "--merchant", "1")
    assert code == 1
    assert "import offers" in err
    told.write_text("{")
    assert shell(*read, told)[0] == 1
