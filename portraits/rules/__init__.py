"""A marketer's rule: one closed grammar (`grammar`), asked of one visitor (`match`), told in words (`prose`).

`portraits.segments.evaluate` asks the same rule of everyone at once. Everything here is plain Python, since serving
answers with it.
"""

from portraits.rules.grammar import parse, parse_text
from portraits.rules.match import Act, ItemFacts, Moment, Person, match, match_lines
from portraits.rules.nodes import Line, Rule
from portraits.rules.prose import in_words, line_in_words

__all__ = [
    "Act",
    "ItemFacts",
    "Line",
    "Moment",
    "Person",
    "Rule",
    "in_words",
    "line_in_words",
    "match",
    "match_lines",
    "parse",
    "parse_text",
]
