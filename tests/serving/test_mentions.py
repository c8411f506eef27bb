"""Whom a stored row names: in its columns of ids, as who brought it about, in free text."""

from __future__ import annotations

import json

from serving.stores.mentions import ids_in, without_mentions, without_referrer

GONE = {"ann"}


def payload(**row: object) -> str:
    """An event's text, as the store keeps it."""
    return json.dumps({"user_id": "bob", **row}, ensure_ascii=False, separators=(",", ":"))


def test_a_catalogues_row_names_the_ids_in_its_columns() -> None:
    assert ids_in("users", {"user_id": "ann", "member_tier": "gold"}) == {"ann"}
    link = {"link_id": "l", "user_id": "ann", "openid": "o1", "unionid": None}
    assert ids_in("identities", link) == {"ann", "o1"}
    assert ids_in("items", {"item_id": "ann"}) == set()


def test_only_a_forgotten_referrer_is_taken_out() -> None:
    assert without_referrer(payload(referrer_user_id="ann"), GONE) == payload()
    for kept in (payload(referrer_user_id="eve"), payload(page="ann")):
        assert without_referrer(kept, GONE) == kept


def test_an_id_is_taken_out_of_free_text_where_it_stands_alone() -> None:
    told = without_mentions(payload(referrer_user_id="ann", query="ann", page="shop?from=ann"), GONE)
    assert "ann" not in told
    assert json.loads(told)["user_id"] == "bob"
    sentence = payload(query="where does ann live")
    assert without_mentions(sentence, GONE) == sentence
