"""The gate: may the new model go out? It judges the model alone; portraits, catalogues and deletions always publish.

Paired by user: the difference of NDCG between the new pipeline and its rival on the same users and the same future,
with a bootstrap interval. Worse beyond noise (the whole interval below 0) on any part is a loss. Where the app's
objective says what a success is worth, value is compared as well: a loss of value is a loss, and where value is gained
a loss of NDCG is none, for that is what the objective asks for. What a backtest cannot see, a broken import say,
`recommender.judging.sanity` looks for; some of it holds the model back, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from recommender.judging.evaluate import PARTS, Judged
from recommender.judging.metrics import VALUE, Estimate, paired_bootstrap
from recommender.judging.sanity import Finding

Verdict = Literal["publish", "popular", "hold"]
METRIC = "ndcg"


@dataclass(frozen=True)
class Comparison:
    """New minus rival on one part, mean and interval; `lost` when worse beyond noise."""

    rival: str
    part: str
    difference: Estimate
    metric: str = METRIC

    @property
    def lost(self) -> bool:
        return self.difference.high < 0

    def as_json(self) -> dict[str, Any]:
        named = {"rival": self.rival, "part": self.part, "metric": self.metric}
        return {**named, "difference": self.difference.as_json(), "lost": self.lost}


@dataclass(frozen=True)
class Decision:
    """The verdict, the comparisons and findings it rests on, and a sentence for people."""

    verdict: Verdict
    comparisons: Sequence[Comparison]
    sentence: str
    findings: Sequence[Finding] = ()

    def as_json(self) -> dict[str, Any]:
        shown = {name: [one.as_json() for one in getattr(self, name)] for name in ("comparisons", "findings")}
        return {"verdict": self.verdict, "sentence": self.sentence, **shown}


def decide(
    ours: Judged,
    popular: Judged,
    active: Judged | None,
    *,
    first_night: bool,
    seed: int,
    findings: Sequence[Finding] = (),
) -> Decision:
    """Compare with popularity and with the active recipe (None: there is none to compare with), and heed `findings`.

    A loser is held back; on the first night there is nothing to keep, so popularity goes out instead.
    """
    compared = _compared(ours, popular, active, first_night=first_night, seed=seed)
    holding = [finding.sentence for finding in findings if finding.holds]
    if not holding:
        return replace(compared, findings=findings)
    reasons = [compared.sentence] if compared.verdict != "publish" else []
    sentence = f"the new model is not published: {'; '.join(holding + reasons)}"
    return Decision("popular" if first_night else "hold", compared.comparisons, sentence, findings)


def undecided(reason: str, findings: Sequence[Finding], *, first_night: bool) -> Decision:
    """The verdict where too few can be judged: popularity, unless `findings` speak for what is active."""
    if first_night or not any(finding.holds for finding in findings):
        return Decision("popular", (), reason, findings)
    sentence = "; ".join([finding.sentence for finding in findings if finding.holds] + [reason])
    return Decision("hold", (), f"the active model stays: {sentence}", findings)


def loses(ours: Judged, rivals: Sequence[Judged], seed: int) -> bool:
    """Whether `decide` would find `ours` worse than one of the rivals."""
    return bool(_lost(_comparisons(ours, rivals, seed)))


def _comparisons(ours: Judged, rivals: Sequence[Judged], seed: int) -> list[Comparison]:
    return [
        Comparison(rival.name, part, paired_bootstrap(ours.values[part][one], rival.values[part][one], seed), one)
        for rival in rivals
        for part in PARTS
        for one in (METRIC, VALUE)
        if one in ours.values[part]
    ]


def _lost(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons that count as lost: not those of NDCG where value was gained."""
    earned = {(one.rival, one.part) for one in comparisons if one.metric == VALUE and one.difference.mean > 0}
    return [one for one in comparisons if one.lost and (one.metric == VALUE or (one.rival, one.part) not in earned)]


def _compared(ours: Judged, popular: Judged, active: Judged | None, *, first_night: bool, seed: int) -> Decision:
    """The verdict of the comparisons alone."""
    comparisons = _comparisons(ours, [popular] if active is None else [popular, active], seed)
    lost = _lost(comparisons)
    if not lost:
        return Decision("publish", comparisons, "the new model is not worse than its rivals beyond noise")
    worst = next((one for one in lost if one.metric == VALUE), min(lost, key=lambda one: one.difference.mean))
    sentence = (
        f"the new model loses to {worst.rival} over {worst.part} items: {worst.metric} differs by "
        f"{worst.difference.mean:+.4f} [{worst.difference.low:+.4f}, {worst.difference.high:+.4f}]"
    )
    return Decision("popular" if first_night else "hold", comparisons, sentence)
