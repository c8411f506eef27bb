"""`huaxiang segments`: every command on a published shop."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from published_shop import ALL, EVEN, EVEN_USERS
from small_shop import END, USERS

from portraits.build import build
from portraits.lake import Lake
from serving.cli import main
from serving.cli.segments import segments
from serving.segments.night import remember
from serving.settings import ProcessSettings
from serving.stores import Store


class Shell:
    """`huaxiang segments ... --app shop` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """What it says: on stdout, or on stderr where it must fail with `code`."""
        with pytest.raises(SystemExit) as ended:
            main(["segments", *map(str, arguments), "--app", "shop"])
        said = self._capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err
        return said.err if code else said.out

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def shell(home: ProcessSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("HUAXIANG_HOME", str(home.home))
    return Shell(capsys)


@pytest.fixture
def even(tmp_path: Path) -> Path:
    path = tmp_path / "even.json"
    path.write_text(json.dumps(EVEN), "utf-8")
    return path


def test_every_command_is_tested_here() -> None:
    named = {command.name for command in segments.registered_commands}
    tested = Path(__file__).read_text("utf-8")
    assert all(f'"{name}"' in tested for name in named)


def test_a_segment_lives_and_dies(shell: Shell, even: Path) -> None:
    assert shell.json("save", "even", "--rule", even, "--title", "Even")["version"] == 1
    listed = {one["name"]: one for one in shell.json("list")}
    assert (listed["even"]["version"], listed["even"]["members"], listed["loyal"]["members"]) == (1, None, USERS)
    assert shell.json("show", "even")["rule"]["did"] == EVEN["did"]
    assert "忠诚客户" in shell("show", "loyal", "--lang", "zh")
    assert shell.json("preview", "even")["total"] == USERS // 2
    assert f"{USERS // 2} of {USERS} visitors" in shell("preview", "--rule", even)
    assert shell("delete", "even") == "even: deleted\n"
    assert "no segment 'even'" in shell("preview", "even", code=1)


def test_members_are_exported_whole_or_cut_to_size(shell: Shell, even: Path, tmp_path: Path, store: Store) -> None:
    store.upsert("shop", "users", [{"user_id": EVEN_USERS[0], "consent": False}])
    out = tmp_path / "out.parquet"
    assert shell.json("export", "--rule", even, "--out", out, "--fields", "orders,stage")["rows"] == len(EVEN_USERS) - 1
    table = pq.read_table(out)
    assert table.column_names == ["user_id", "orders", "stage"]
    assert table["user_id"].to_pylist() == EVEN_USERS[1:]
    drawn = tmp_path / "drawn.csv"
    assert shell.json("export", "--rule", even, "--out", drawn, "--cap", "7", "--seed", "3")["rows"] == 7
    with drawn.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["user_id"] for row in rows} <= set(EVEN_USERS[1:])
    shell("export", "--rule", even, "--out", out, "--cap", "5", "--by", "spend", "--fields", "spend")
    best = sorted(pq.read_table(out)["spend"].to_pylist())
    shell("export", "--rule", even, "--out", out, "--fields", "spend")
    assert best == sorted(pq.read_table(out)["spend"].to_pylist())[-5:]
    assert list(tmp_path.glob(".*.tmp")) == []


def test_lists_are_json_text_in_csv(shell: Shell, even: Path, tmp_path: Path) -> None:
    """And are read back as what they are; what CSV knows is left as it is."""
    fields = "categories,last_seen,orders,due_date"
    for out in (tmp_path / "out.parquet", tmp_path / "out.csv"):
        assert shell.json("export", "--rule", even, "--out", out, "--fields", fields)["rows"] == len(EVEN_USERS)
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "out.parquet")
    told = json.loads(json.dumps(table["categories"].to_pylist(), default=datetime.isoformat))
    assert [json.loads(row["categories"]) for row in rows] == told
    assert all(json.loads(row["categories"])[0]["tag"] for row in rows)
    assert [int(row["orders"]) for row in rows] == table["orders"].to_pylist()
    assert [datetime.fromisoformat(row["last_seen"]) for row in rows] == table["last_seen"].to_pylist()
    assert [row["user_id"] for row in rows] == EVEN_USERS


def test_a_small_segment_s_profile_says_why_nothing_is_told(shell: Shell, tmp_path: Path) -> None:
    few = tmp_path / "few.json"
    few.write_text(json.dumps({"field": "orders", "op": ">=", "value": 10_000}))
    assert "too small to tell" in shell("profile", "--rule", few)
    assert shell.json("profile", "--rule", few)["too_small"] is True
    assert shell.json("profile", "loyal", "--fields", "stage")["too_small"] is False


def test_segments_are_compared_and_profiled(shell: Shell, even: Path) -> None:
    shared = shell.json("compare", "loyal", "--rule", even)
    assert (shared["one"], shared["other"], shared["both"]) == (USERS, USERS // 2, USERS // 2)
    assert "jaccard" in shell("compare", "loyal", "--rule", even)
    told = shell.json("profile", "--rule", even, "--fields", "categories,spend")
    assert {cell["field"] for cell in told["cells"]} == {"categories", "spend"}
    assert "TGI" in shell("profile", "--rule", even)
    assert shell.json("profile", "--rule", even, "--against", "loyal", "--fields", "categories")["base"] == USERS


def test_nights_are_told_one_by_one_and_against_each_other(shell: Shell, home: ProcessSettings, store: Store) -> None:
    assert [one["members"] for one in shell.json("growth", "loyal")] == [USERS]
    assert "nights there are: 2026-03-02" in shell("migration", "loyal", code=1)
    lake, earlier = Lake(home.lake), home.home / "earlier"
    build(lake.snapshot("shop"), store.app("shop"), END - timedelta(days=40), earlier)
    remember(store, lake, store.app("shop"), earlier)
    before = {one["as_of"]: one["members"] for one in shell.json("growth", "loyal")}
    assert len(before) == 2
    moved = shell.json("migration", "loyal")
    assert moved["stayed"] + moved["joined"] == USERS
    assert moved["stayed"] == min(before.values())
    assert sum(stage["joined"] for stage in moved["stages"]) == moved["joined"]
    assert "line that changed" in shell("migration", "loyal", "--from", "2026-01-21", "--to", "2026-03-02")
    assert "no later than --to" in shell("migration", "loyal", "--from", "2026-03-02", "--to", "2026-01-21", code=2)
    assert "visitors" in shell("growth", "loyal")


def test_who_is_like_them_is_found(shell: Shell, even: Path, tmp_path: Path) -> None:
    out = tmp_path / "alike.parquet"
    told = shell.json("lookalike", "--rule", even, "--n", "5", "--out", out)
    assert (told["rows"], told["members"]) == (5, USERS // 2)
    found = pq.read_table(out)["user_id"].to_pylist()
    assert not set(found) & set(EVEN_USERS)
    shell("lookalike", "--rule", even, "--n", "5", "--out", tmp_path / "alike.csv")


def test_a_wrong_rule_names_its_line(shell: Shell, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(
        '{"and": [\n {"field": "orders", "op": ">", "value": 1},\n {"field": "orderz", "op": ">", "value": 1}\n]}'
    )
    said = shell("preview", "--rule", wrong, code=2)
    assert "line 3" in said
    assert "orders" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("preview",), 2, "--rule"),
        (("preview", "nobody"), 1, "no segment 'nobody'"),
        (("export", "loyal", "--out", "out.txt"), 2, "--out"),
        (("export", "loyal", "--out", "out.csv", "--fields", "colour"), 2, "unknown field 'colour'"),
        (("export", "loyal", "--out", "out.csv", "--cap", "3", "--by", "stage"), 2, "unknown score"),
        (("delete", "loyal"), 2, "ready-made"),
        (("growth", "nobody"), 1, "no segment"),
    ],
)
def test_wrong_use_says_why(
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in shell(*arguments, code=code)
    assert list(tmp_path.glob("out*")) == []


def test_before_the_first_night_rules_can_be_saved(shell: Shell, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(ALL))
    for argument in ("app", "add", "cafe"), ("segments", "save", "all", "--rule", str(path), "--app", "cafe"):
        with pytest.raises(SystemExit) as ended:
            main(list(argument))
        assert not ended.value.code
    with pytest.raises(SystemExit) as ended:
        main(["segments", "preview", "all", "--app", "cafe"])
    assert ended.value.code == 1
