"""Reasons say what happened, in both languages, and nothing that did not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from planted_shelf import NOW, Candidate, Night, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import NO_STATE, recommend
from recommender.answers.reasons import TITLE_LIMIT, WORDS, reason
from recommender.bundles.today import SIGNALS
from recommender.types import LANGUAGES, Query, Ranked, Reason, Recent, State


def test_every_code_has_words_in_every_language() -> None:
    assert set(WORDS) == set(LANGUAGES)
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    assert {code for _, code in SIGNALS.values() if code} <= WORDS["en"].keys()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_sentence_shows_a_hole(lang: str) -> None:
    for code in WORDS[lang]:
        for made in (
            reason(code, lang),
            reason(code, lang, "x", ""),
            reason(code, lang, "x", "T"),
            reason(code, lang, category="C"),
        ):
            assert made.text
            assert "{" not in made.text


def test_words_name_their_evidence() -> None:
    assert reason("because_bought", "en", "t1", "Green tea") == Reason(
        "because_bought", "Because you bought Green tea", {"item_id": "t1", "title": "Green tea"}
    )
    assert reason("because_bought", "zh", "t1", "绿茶").text == "因为您买过「绿茶」"
    assert reason("popular_in_category", "zh", category="茶").text == "「茶」热门"


def test_a_long_title_is_cut_in_the_words_and_whole_in_the_evidence() -> None:
    title = "茶" * 200
    made = reason("similar_to", "zh", "t1", title)
    assert len(made.text) < TITLE_LIMIT + 10
    assert made.evidence["title"] == title


def test_braces_in_a_title_are_text() -> None:
    assert reason("similar_to", "en", "t1", "{name} {0}").text == "Similar to {name} {0}"


def only(night: Night, state: State = NO_STATE, **asked: str) -> Ranked:
    bundle = night.bundle()
    answer = recommend(bundle, Catalogue.from_bundle(bundle), Query("ann", 1, NOW, **asked), state)  # type: ignore[arg-type]
    return answer.items[0]


ITEMS = [item("tea", title="绿茶"), item("cup", title="Cup")]


TEA = {"ann": ["tea"]}


def table(item_id: str, source: str = "als", evidence: str | None = None) -> dict[str, list[Candidate]]:
    return {"ann": [Candidate(item_id, 1.0, source, evidence)]}


@pytest.mark.parametrize(
    ("night", "code", "evidence"),
    [
        (Night(ITEMS, table("cup", evidence="tea"), TEA), "because_bought", "tea"),
        (Night(ITEMS, table("cup", evidence="tea")), "because_viewed", "tea"),
        (Night(ITEMS, table("cup"), TEA), "for_you", None),
        (Night(ITEMS, table("cup", "popular"), popular=[("cup", 1.0)]), "popular", None),
        (Night(ITEMS, table("cup", "popular"), popular=[("cup", 0.0)]), "available", None),
        (Night(ITEMS, table("cup")), "for_you", None),
        (Night(ITEMS, table("cup"), idle=["ann"]), "like_you", None),
        (Night(ITEMS, table("tea", "again"), TEA, repeat=True), "bought_again", None),
        (Night(ITEMS, table("tea", "again"), TEA, repeat=True, target="click"), "liked_again", None),
        (Night(ITEMS, table("cup", evidence="tea"), TEA, target="click"), "because_viewed", "tea"),
        (Night(ITEMS, popular=[("cup", 1.0)]), "popular", None),
        (Night(ITEMS, popular=[("cup", 0.0)]), "available", None),
        (Night([item("new", created_at=NOW - timedelta(days=29))]), "new", None),
        (Night([item("old", created_at=NOW - timedelta(days=31))]), "available", None),
        (Night([item("odd", created_at=NOW + timedelta(days=1))]), "available", None),
    ],
)  # fmt: skip
def test_what_the_night_knew_decides_the_reason(night: Night, code: str, evidence: str | None) -> None:
    made = only(night).reason
    assert made.code == code
    assert made.evidence.get("item_id") == evidence


@pytest.mark.parametrize("kind", [kind for kind, (weight, _) in SIGNALS.items() if weight])
def test_what_was_done_today_becomes_the_reason(kind: str) -> None:
    night = Night(ITEMS, near={"tea": [("cup", 1.0)]})
    made = only(night, State([Recent(kind, "tea", 1)]), lang="zh").reason
    assert made.code == SIGNALS[kind][1]
    assert made.evidence == {"item_id": "tea", "title": "绿茶"}
    assert "绿茶" in made.text


def test_the_strongest_part_is_the_reason() -> None:
    night = Night(
        [*ITEMS, item("pot", title="Pot")],
        table={"ann": [Candidate("cup", 0.1)]},
        near={"tea": [("cup", 0.9)], "pot": [("cup", 0.3)]},
    )
    views = [Recent("item_view", "tea", 1), Recent("item_view", "pot", 2)]
    assert only(night, State(views)).reason.evidence["item_id"] == "tea"
    assert only(night, State(views[1:])).reason.code == "for_you"
