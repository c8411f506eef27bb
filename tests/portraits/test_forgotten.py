"""What may be a visitor's id: columns of ids by equality, free text as a whole or a part of a URL, and nothing else."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest

from portraits.forgotten import mentions, refused_ids, spellings, without_ids

AWKWARD = ("1", "li na", "a\\b", "x[1]", "emo😀", "O'Brien", "a,b", 'say "hi"', "\u674e\u5a1c", "50%")


@pytest.mark.parametrize("one", AWKWARD)
@pytest.mark.parametrize("ascii_", [False, True])
def test_a_refused_row_names_whom_its_columns_of_ids_name(one: str, *, ascii_: bool) -> None:
    row = json.dumps({"event_id": "e", "user_id": one, "referrer_user_id": "by", "quantity": 7}, ensure_ascii=ascii_)
    assert refused_ids("ts", "soon", row) == {one, "by"}
    assert refused_ids("ts", "soon", row + "x" * 9) == {one, "by"}
    assert refused_ids("ts", "soon", json.dumps(row, ensure_ascii=ascii_)) == {one, "by"}
    assert refused_ids("user_id", one, "") == {one}
    other = json.dumps({"event_id": one, "user_id": "other", "query": f"size {one}", "quantity": 1})
    assert refused_ids("event_id", one, other) == {"other"}


@pytest.mark.parametrize("one", AWKWARD)
def test_a_line_of_csv_names_its_fields(one: str) -> None:
    quoted = '"' + one.replace('"', '""') + '"'
    assert one in refused_ids("ts", "soon", f"e1,{quoted},soon,item_view")
    assert one not in refused_ids("ts", "soon", f"e1,other,soon,size {one.replace(',', '')} shoes")


@pytest.mark.parametrize("one", AWKWARD)
def test_free_text_names_as_a_whole_or_in_a_url(one: str) -> None:
    urls = [f"/p?from={quote(one, safe='')}&x=9", f"/p?from={quote_plus(one)}", f"pages/{quote(one, safe='')}/x#y"]
    properties = json.dumps({"to": one, "path": urls[0], "list": [one, 1, 1.0], "said": f"size {one} shoes", one: 5})
    for column, text in (("query", one), ("page", one), ("properties", properties), *(("page", url) for url in urls)):
        assert one in mentions(column, text), (column, text)
        kept = without_ids(column, text, {one})
        assert kept is None or one not in mentions(column, kept), (column, kept)
        row = json.dumps({column: text}, ensure_ascii=False)
        assert any(form in row for form in spellings(one)), (column, row)
    for column, text in (("query", f"size {one} shoes"), ("query", urls[0]), ("page", f"size {one} shoes")):
        assert without_ids(column, text, {one}) == text


def test_numbers_and_words_of_others_stay() -> None:
    kept = {"size": 42, "color": "red", "said": "size 42 shoes"}
    text = json.dumps(kept)
    renamed = {"-": 42, "color": "red", "said": "size 42 shoes"}
    assert without_ids("properties", text, {"42", "size", "red "}) == json.dumps(renamed)
    assert without_ids("properties", text, {"42"}) == text
    assert without_ids("page", "/item?id=5&inviter=zoe#top", {"zoe"}) == "/item?id=5&inviter=-#top"
