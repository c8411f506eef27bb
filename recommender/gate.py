"""The gate: may the new model go out? It judges the model alone; portraits, catalogues and deletions always publish.

Paired by user: the difference of NDCG between the new pipeline and its rival on the same users and the same future,
with a bootstrap interval. Worse beyond noise (the whole interval below 0) on any part is a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recommender.evaluate import PARTS, Judged
from recommender.metrics import Estimate, paired_bootstrap

Verdict = Literal["publish", "popular", "hold"]
METRIC = "ndcg"


@dataclass(frozen=True)
class Comparison:
    """New minus rival on one part, mean and interval; `lost` when worse beyond noise."""

    rival: str
    part: str
    difference: Estimate

    @property
    def lost(self) -> bool:
        return self.difference.high < 0

    def as_json(self) -> dict[str, Any]:
        return {"rival": self.rival, "part": self.part, "difference": self.difference.as_json(), "lost": self.lost}


@dataclass(frozen=True)
class Decision:
    """The verdict, the comparisons it rests on, and a sentence for people."""

    verdict: Verdict
    comparisons: Sequence[Comparison]
    sentence: str

    def as_json(self) -> dict[str, Any]:
        shown = [comparison.as_json() for comparison in self.comparisons]
        return {"verdict": self.verdict, "comparisons": shown, "sentence": self.sentence}


def decide(ours: Judged, popular: Judged, active: Judged | None, *, first_night: bool, seed: int) -> Decision:
    """Compare with popularity and with the active recipe (None: there is none to compare with).

    A loser is held back; on the first night there is nothing to keep, so popularity goes out instead.
    """
    rivals = [popular] if active is None else [popular, active]
    comparisons = [
        Comparison(rival.name, part, paired_bootstrap(ours.values[part][METRIC], rival.values[part][METRIC], seed))
        for rival in rivals
        for part in PARTS
    ]
    lost = [comparison for comparison in comparisons if comparison.lost]
    if not lost:
        return Decision("publish", comparisons, "the new model is not worse than its rivals beyond noise")
    worst = min(lost, key=lambda comparison: comparison.difference.mean)
    sentence = (
        f"the new model loses to {worst.rival} over {worst.part} items: {METRIC} differs by "
        f"{worst.difference.mean:+.4f} [{worst.difference.low:+.4f}, {worst.difference.high:+.4f}]"
    )
    return Decision("popular" if first_night else "hold", comparisons, sentence)
