"""Rules and their lines in words, in every language of the house."""

from __future__ import annotations

from portraits.rules import Rule, line_in_words
from portraits.words import LANGUAGES


def line_words(rule: Rule, currency: str) -> dict[str, list[str]]:
    """By language: each of `rule.lines()` in words."""
    return {lang: lines_in_words(rule, lang, currency) for lang in LANGUAGES}


def lines_in_words(rule: Rule, lang: str, currency: str) -> list[str]:
    """Each of `rule.lines()` in words: a condition whole, of a group what holds it together."""
    return [line_in_words(line, lang, currency) for line in rule.lines()]
