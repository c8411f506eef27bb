from __future__ import annotations

from portraits.dictionary import PAGE, page
from portraits.features import FAMILIES, REGISTRY


def test_the_page_is_the_registry() -> None:
    """When this fails: python -m portraits.dictionary"""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_field_and_family_has_its_place() -> None:
    text = page()
    assert all(f"| `{name}`" in text for name in REGISTRY)
    assert all(f"## {family}\n" in text for family in FAMILIES)
