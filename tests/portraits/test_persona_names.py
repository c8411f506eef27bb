"""Names of personas: true, different from each other, and kept while they are true."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from portraits.personas.naming import HEADS, MODIFIERS, Name, Profile, name_all
from portraits.personas.traits import TRAITS

FIELDS = tuple(trait.field for trait in TRAITS)


def profile(buyers: float = 1.0, repeats: float = 0.8, once: float = 0.0, **away: float) -> Profile:
    return Profile(buyers, repeats, once, dict.fromkeys(FIELDS, 0.0) | away)


def one(told: Profile, last: tuple[str, tuple[str, ...]] | None = None) -> Name:
    return name_all([told], [last])[0]


def test_head_and_strongest_trait() -> None:
    regulars = profile(orders=1.4, visits=1.5, scan_share=0.9, weekend_share=0.6)
    assert one(regulars).en == "Loyal regulars by scan"
    assert one(regulars).zh == "扫码进店的忠实常客"
    hunters = profile(repeats=0.1, discount_share=2.0, offers_redeemed=1.9, weekend_share=1.5)
    assert one(hunters).en == "Bargain-hunting, weekend one-time buyers", "coupons say what bargains say"
    assert one(hunters).zh == "爱买特价、周末来的单次买家"
    assert one(profile(buyers=0.1, repeats=0.0, once=0.9)).en == "One-visit guests"
    assert one(profile(days_since_seen=0.8)).en == "Sleeping customers"


def test_a_name_is_kept_while_it_is_true() -> None:
    last = ("regulars", ("scan_share+",))
    assert one(profile(orders=0.9, scan_share=0.4, weekend_share=0.6), last).modifiers == last[1]
    assert one(profile(orders=0.9, scan_share=0.1, weekend_share=0.6), last).modifiers == ("weekend_share+",)
    assert one(profile(orders=0.2, scan_share=0.9), last).head == "repeats"
    assert one(profile(orders=1.0, scan_share=0.5, weekend_share=1.5), last).modifiers == ("weekend_share+",)


def test_who_keeps_a_name_has_it_before_who_is_new() -> None:
    alike = profile(orders=1.5, scan_share=0.9, shares=0.7)
    new, kept = name_all([alike, alike], [None, ("regulars", ("scan_share+",))])
    assert kept.en == "Loyal regulars by scan"
    assert new.en == "Loyal regulars by scan and who share"


def test_an_app_without_sales_has_other_heads() -> None:
    told = name_all([profile(buyers=0, repeats=0, visits=1.0), profile(buyers=0, repeats=0, visits=-0.2)], [None, None])
    assert [name.en for name in told] == ["Regular visitors", "Occasional visitors"]


def profiles() -> st.SearchStrategy[Profile]:
    share = st.floats(0, 1)
    away = st.fixed_dictionaries({field: st.floats(-3, 3) for field in FIELDS})
    return st.builds(Profile, share, share, share, away)


@given(st.lists(profiles(), min_size=1, max_size=8))
def test_names_are_different_and_stay(told: list[Profile]) -> None:
    names = name_all(told, [None] * len(told))
    assert len({name.en for name in names}) == len({name.zh for name in names}) == len(told)
    again = name_all(told, [(name.head, name.modifiers) for name in names])
    assert sorted(name.en for name in again) == sorted(name.en for name in names)


@given(profiles())
def test_equals_are_told_apart_all_the_same(told: Profile) -> None:
    assert len({name.en for name in name_all([told] * 8, [None] * 8)}) == 8


def test_words_are_different() -> None:
    """Different parts make different names in both languages."""
    heads, modifiers = tuple(HEADS), (None, *MODIFIERS)
    every = [Name(head, () if code is None else (code,)) for head, code in product(heads, modifiers)]
    assert len({name.en for name in every}) == len({name.zh for name in every}) == len(every)
