"""Ids of answers: an app knows its own, and no other id passes for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portraits.decision_ids import signed, verify
from portraits.history import ID_LIMIT

salts = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(salts)
def test_an_app_knows_its_own(salt: str) -> None:
    one, other = signed(salt), signed(salt)
    assert one != other
    assert (verify(salt, one), verify(salt, other)) == ("signed", "signed")
    assert len(one) <= ID_LIMIT


@given(salts, st.data())
def test_whatever_is_changed_in_an_id_it_is_signed_no_more(salt: str, data: st.DataObject) -> None:
    own = signed(salt)
    place = data.draw(st.integers(0, len(own) - 1))
    put = data.draw(st.text(max_size=2).filter(lambda text: text != own[place]))
    assert verify(salt, own[:place] + put + own[place + 1 :]) != "signed"
    assert verify(salt, own.upper()) != "signed"


@given(salts, st.sampled_from("0123456789abcdef"), st.integers(0, 39))
def test_another_digit_is_forged(salt: str, digit: str, place: int) -> None:
    own = signed(salt)
    place += place >= 24  # not the hyphen
    assert verify(salt, own[:place] + digit + own[place + 1 :]) == ("signed" if digit == own[place] else "forged")


@given(st.lists(salts, min_size=2, max_size=2, unique=True))
def test_ids_of_two_apps_prove_nothing_for_each_other(two: list[str]) -> None:
    assert verify(two[0], signed(two[1])) == verify(two[1], signed(two[0])) == "forged"


@given(salts, st.text())
def test_any_other_text_is_foreign(salt: str, text: str) -> None:
    assert verify(salt, text) == "foreign"
