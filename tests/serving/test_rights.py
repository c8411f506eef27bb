"""A visitor's rights over HTTP, on a published shop: who is Ann, u000, and has a phone that was linked later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from planted_app import Client
from published_shop import ALL, PATIENT_S, open_published_shop
from small_shop import END, USERS, today
from starlette.applications import Starlette

from portraits.dictionary import FIELDS
from portraits.tags import TAGS, hidden
from serving.app import v1
from serving.cli import main
from serving.context import Context
from serving.segments.analyst import Analyst
from serving.segments.published import Published
from serving.settings import ProcessSettings

ANN, PHONE = "u000", "phone"
LINK = {"link_id": "l1", "user_id": ANN, "anonymous_id": PHONE}
TASTE = {"field": "top_category", "op": "=", "value": "ware"}
LIKES = {"tag": "ware", "in": "categories"}
Ask = Callable[..., Any]


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
def context(process: ProcessSettings) -> Iterator[Context]:
    opened = Context.open(process)
    opened.analyst.close()
    patient = Analyst(process, PATIENT_S, PATIENT_S)
    context = replace(opened, analyst=patient, published=Published(process, patient))
    yield context
    context.close()


@pytest.fixture
def ask(context: Context) -> Iterator[Ask]:
    """Posts a body with an admin key of the shop and gives the answer, which must have `status`."""
    key = context.store.add_key("shop", "admin")
    with Client(Starlette(routes=[v1(context)])) as client:

        def post(path: str, status: int = 200, **body: Any) -> Any:
            answer = client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == status, answer.text
            return answer.json()

        yield post


def said(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of a told portrait by name."""
    return {field["field"]: field for tag in answer["portrait"]["tags"] for field in tag["fields"]}


def test_a_portrait_is_told_in_words_with_why(ask: Ask) -> None:
    told = ask("/portrait", user_id=ANN)
    assert (told["user_id"], told["personalized"], told["ids"]) == (ANN, True, [ANN])
    assert told["portrait"]["as_of"] == END.isoformat()
    assert "Drawn to ware" in " ".join(told["portrait"]["words"])
    fields = said(told)
    assert fields["orders"]["value"] == 20
    assert fields["orders"]["why"].endswith("Made from events.")
    assert fields["spend"]["words"] == "CNY 20.00"
    assert fields["top_category"] | {"why": ""} == {
        "field": "top_category", "title": "Top category", "value": "ware", "words": "ware", "why": ""
    }  # fmt: skip
    assert "loyal" in {one["name"] for one in told["segments"]}
    assert told["waiting"] == {"events": 0, "since": END.isoformat()}
    assert told["deleted"] == []


def test_a_portrait_is_told_in_chinese_too(ask: Ask) -> None:
    told = ask("/portrait", user_id=ANN, lang="zh")
    assert any("偏好品类" in sentence for sentence in told["portrait"]["words"])
    assert said(told)["orders"]["title"] == "订单数"
    assert said(told)["orders"]["why"] == "依据行为记录得出"
    assert told["portrait"]["tags"][0]["title"] == "购买"


def test_what_waits_for_the_night_and_what_was_declared_are_told(ask: Ask) -> None:
    ask("/users", users=[{"user_id": ANN, "member_tier": "gold"}])
    ask("/identities", identities=[LINK])
    ask("/events", events=[today(900) | {"user_id": PHONE}])
    told = ask("/portrait", user_id=PHONE)
    assert (told["user_id"], told["ids"]) == (ANN, [ANN, PHONE])
    assert told["declared"] == {"user_id": ANN, "member_tier": "gold"}
    assert told["waiting"]["events"] == 1
    assert said(told)["orders"]["value"] == 20


def test_of_who_is_unknown_nothing_is_told(ask: Ask) -> None:
    told = ask("/portrait", user_id="stranger")
    assert (told["portrait"], told["declared"], told["segments"]) == (None, None, [])
    assert told["personalized"] is True


def test_of_who_refused_only_that_is_told(ask: Ask) -> None:
    ask("/personalization", user_id=ANN, on=False)
    assert ask("/portrait", user_id=ANN) == {"user_id": ANN, "personalized": False, "portrait": None}


@pytest.mark.parametrize("tag", TAGS)
def test_a_deleted_tag_is_gone_with_everything_that_repeats_it(ask: Ask, tag: str) -> None:
    gone = hidden(FIELDS, (tag,))
    answer = ask("/tags/delete", user_id=ANN, tag=tag)
    assert (answer["tag"], answer["fields"]) == (tag, sorted(gone))
    for lang in ("en", "zh"):
        told = ask("/portrait", user_id=ANN, lang=lang)
        assert not gone & set(said(told))
        assert [one["tag"] for one in told["deleted"]] == [tag]
    before = set(said(ask("/portrait", user_id="u002")))
    assert {name for name in before if name not in gone}, "others keep theirs, and she the rest"


def test_a_field_names_its_tag_and_an_unknown_one_the_known(ask: Ask) -> None:
    assert ask("/tags/delete", user_id=ANN, tag="top_category")["tag"] == "categories"
    refused = ask("/tags/delete", status=422, user_id=ANN, tag="hat size")["error"]
    assert "brands" in refused["message"]
    assert refused["field"] == "tag"


def test_a_deleted_tag_leaves_every_reader_at_once(
    ask: Ask, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUAXIANG_HOME", str(context.settings.home))

    def run(*arguments: object) -> Any:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--app", "shop", "--json"])
        told = capsys.readouterr()
        assert not ended.value.code, told.err
        return json.loads(told.out)

    def members(rule: dict[str, Any]) -> set[str]:
        (tmp_path / "rule.json").write_text(json.dumps(rule))
        run("segments", "export", "--rule", tmp_path / "rule.json", "--out", tmp_path / "out.parquet")
        return set(pq.read_table(tmp_path / "out.parquet")["user_id"].to_pylist())

    ask("/identities", identities=[LINK])
    assert ask("/segments/match", user_id=ANN, rule=TASTE)["rule"] is True
    counted = ask("/segments/preview", rule=TASTE)["total"], ask("/segments/preview", rule=LIKES)["total"]
    ask("/tags/delete", user_id=PHONE, tag="categories")
    for rule, before in zip((TASTE, LIKES), counted, strict=True):
        assert ask("/segments/match", user_id=ANN, rule=rule)["rule"] is False
        assert ask("/segments/preview", rule=rule)["total"] == before - 1
        assert ask("/segments/preview", rule=ALL)["total"] == USERS
        assert ANN not in members(rule)
        assert "u002" in members(rule)
    assert ANN in members(ALL)
    run("portraits", "export", "--out", tmp_path / "all.parquet")
    rows = {row["user_id"]: row for row in pq.read_table(tmp_path / "all.parquet").to_pylist()}
    assert len(rows) == USERS
    assert not [name for name in hidden(FIELDS, ("categories",)) if rows[ANN][name] is not None]
    assert rows[ANN]["orders"] == rows["u002"]["orders"] == 20
    assert rows["u002"]["top_category"] == "ware"
    shown = run("portraits", "show", ANN)
    assert (shown["top_category"], shown["orders"]) == (None, 20)


def test_the_own_switch_beats_every_import_and_turns_back(ask: Ask, context: Context) -> None:
    ask("/identities", identities=[LINK])
    for on in (False, True):
        assert ask("/personalization", user_id=PHONE, on=on) == {"user_id": ANN, "on": on}
        for one in (ANN, PHONE):
            ask("/users", users=[{"user_id": one, "consent": not on, "points": 7}])
            assert context.store.state("shop", one).consent is on
        assert context.store.row("shop", "users", ANN) == {"user_id": ANN, "consent": on, "points": 7}
        assert (ANN in context.store.refusing("shop")) is not on
        assert ask("/segments/preview", rule=ALL)["base"] == USERS - (not on)
        assert any(ask("/segments/match", user_id=ANN)["segments"].values()) is on
        assert (ask("/portrait", user_id=PHONE)["portrait"] is not None) is on
        ask("/users", users=[{"user_id": ANN, "consent": None}])
        assert context.store.state("shop", ANN).consent is on


def test_everything_is_exported_a_page_at_a_time_and_as_a_file(
    ask: Ask, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask("/users", users=[{"user_id": ANN, "member_tier": "gold"}])
    ask("/identities", identities=[LINK])
    ask("/events", events=[today(900) | {"user_id": PHONE}, {"event_id": "bad", "user_id": ANN, "type": "purchase"}])
    ask("/tags/delete", user_id=ANN, tag="brands")
    ask("/personalization", user_id=ANN, on=True)
    rows, after = [], 0
    while after is not None:
        page = ask("/portrait/export", user_id=PHONE, after=after, n=7)
        assert len(page["rows"]) <= 7
        rows += page["rows"]
        after = page["next"]
    tables: dict[str, int] = {}
    for row in rows:
        tables[row["table"]] = tables.get(row["table"], 0) + 1
    assert tables == {
        "switches": 2, "users": 2, "identities": 1, "deleted_tags": 2, "events": 1, "rejected": 1, "portrait": 1,
        "lake.events": 21, "lake.segments": 1
    }  # fmt: skip
    monkeypatch.setenv("HUAXIANG_HOME", str(context.settings.home))
    with pytest.raises(SystemExit) as ended:
        main(["export", ANN, "--app", "shop", "--out", str(tmp_path / "ann.jsonl"), "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["rows"] == len(rows)
    assert [json.loads(line) for line in (tmp_path / "ann.jsonl").read_text().splitlines()] == rows
    assert "u001" not in json.dumps(rows)


def test_who_was_forgotten_leaves_nothing_by_using_a_right(ask: Ask, context: Context) -> None:
    ask("/tags/delete", user_id=ANN, tag="brands")
    ask("/personalization", user_id=ANN, on=True)
    ask("/forget", user_id=ANN)
    assert ask("/portrait", user_id=ANN) == {"user_id": ANN, "personalized": False, "portrait": None}
    assert ask("/personalization", user_id=ANN, on=True) == {"user_id": ANN, "on": False}
    ask("/tags/delete", user_id=ANN, tag="brands")
    assert (context.store.switches("shop"), context.store.deleted_tags("shop")) == ({}, {})
