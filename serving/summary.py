"""What a night leaves to read: one value, kept with the run, printed by the command and shown by the console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from serving.stores.nights import Status

SHOWN = ("recall", "ndcg", "hit")
PARTS = {"all": "all items", "new": "items new to the visitor"}
COMPARED = {"ndcg": ("NDCG", "+.3f"), "value": ("value a visitor (minor units)", "+,.2f")}
"""Metric of the gate -> what people call it, and how its differences are written."""
LARGEST_SEGMENTS = 3
VERDICTS: Mapping[Status, str] = {
    "published": "the new model is published",
    "popular": "the popular shelf is published",
    "held": "the new model is held back, the active one stays",
    "rehearsed": "nothing is published: a newer version is active (--publish replaces it)",
    "failed": "the night failed",
    "running": "the night is running",
}


@dataclass(frozen=True, slots=True)
class NightSummary:
    """One night of one app.

    `version` is what this night published (None: nothing), `drained` and `history` count rows (first and last are None
    where the history has no real time), `segments` members; `answers` is what the last day's led to, a row of
    `recommender.outcomes` (empty: there were none), `offers` what tonight's plan of offers stands on and expects
    (`recommender.offers.night`; empty: there is none); `backtest` is the recommender's table
    ({k, rows: [{name, part, users, recall: [mean, low, high], ...}]}),
    `compared` what the gate compared ([{rival, part, metric, difference: [mean, low, high], lost}], of the new model
    minus the rival's; of a part in which nobody could be judged, difference and the rows' metrics are None), `tuning`
    the parameters that were tried and `census` what the history was like (what the next night remembers: see
    `recommender.memory`), `seconds` is by step and `warnings` are the doctor's sentences on what the history does not
    support, saved segments that tonight's portraits cannot answer, and what is unusual beside the last nights. `lost`:
    the new model lost to what it was compared with, or something unusual held it back.
    """

    app_id: str
    run_id: str
    as_of: datetime
    status: Status
    reason: str
    lost: bool = False
    resumed: bool = False
    version: str | None = None
    drained: Mapping[str, int] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)
    portraits: int = 0
    segments: Mapping[str, int] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    offers: Mapping[str, Any] = field(default_factory=dict)
    backtest: Mapping[str, Any] = field(default_factory=dict)
    compared: Sequence[Mapping[str, Any]] = ()
    tuning: Mapping[str, Any] = field(default_factory=dict)
    census: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 3 the gate held the new model back (or, on the first night, published popularity)."""
        if self.status == "failed":
            return 1
        return 3 if self.lost else 0

    def to_dict(self) -> dict[str, Any]:
        """For machines: JSON's own types only."""
        return asdict(self) | {
            "as_of": self.as_of.isoformat(),
            "warnings": list(self.warnings),
            "compared": list(self.compared),
            "exit_code": self.exit_code,
        }


def in_words(summary: NightSummary, zone: ZoneInfo) -> Iterator[str]:
    """The summary as lines for people; times in the app's own zone."""
    yield f"{summary.app_id}: {VERDICTS[summary.status]}"
    yield f"  why        {summary.reason}"
    yield from (f"             {line}" for line in comparisons(summary.compared))
    if summary.version is not None:
        yield f"  version    {summary.version}"
    taken_up = ", taken up after a crash" if summary.resumed else ""
    yield f"  as of      {_local(summary.as_of, zone)}{taken_up}"
    yield f"  drained    {_counts(summary.drained)}"
    yield f"  history    {_history(summary.history, zone)}"
    yield f"  portraits  {summary.portraits:,}"
    yield f"  segments   {_largest(summary.segments)}"
    if summary.offers:
        yield f"  offers     {_offers(summary.offers)}"
    if summary.answers:
        yield f"  answers    {_answers(summary.answers)}"
    if summary.tuning.get("trials"):
        yield f"  tuning     {_tuning(summary.tuning)}"
    yield f"  seconds    {', '.join(f'{step} {took:.1f}' for step, took in summary.seconds.items())}"
    for part, meaning in PARTS.items():
        rows = [row for row in summary.backtest.get("rows", ()) if row["part"] == part]
        if rows:
            yield ""
            yield from _table(f"backtest, {meaning}", rows, summary.backtest["k"])
    if summary.warnings:
        yield ""
        yield "  what the history does not support"
        yield from (f"  - {warning}" for warning in summary.warnings)


def comparisons(compared: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the gate compared, a line for each rival, part and metric; nights of long ago compared NDCG alone."""
    for one in compared:
        name, form = COMPARED[one.get("metric", "ndcg")]
        rival = str(one["rival"]).replace("_", " ")
        if one["difference"] is None:
            found = "nobody could be judged"
        else:
            mean, low, high = (format(value, form) for value in one["difference"])
            found = f"{mean} (95% {low} to {high})"
        yield f"{name} against {rival}, {PARTS[one['part']]}: {found}"


def trials(tuning: Mapping[str, Any]) -> int:
    """How many points were tried beside the sources' defaults, which are always judged too."""
    return sum(1 for one in tuning.get("trials", ()) if one["params"])


def _tuning(tuning: Mapping[str, Any]) -> str:
    changed = ", ".join(sorted(tuning["params"])) or "none"
    stopped = f"; {tuning['stopped']}" if tuning["stopped"] else ""
    tried = trials(tuning)
    beside = len(tuning["trials"]) - tried
    return f"{tried} trials beside {beside} defaults; sources that leave their defaults: {changed}{stopped}"


def _largest(segments: Mapping[str, int]) -> str:
    largest = sorted(segments.items(), key=lambda one: (-one[1], one[0]))[:LARGEST_SEGMENTS]
    return f"{len(segments)}; largest: {', '.join(f'{name} {members:,}' for name, members in largest)}"


def _offers(plan: Mapping[str, Any]) -> str:
    """How many get one by the plan, what that is expected to earn, how many of the offers have too few trials yet."""
    given, told = sum(plan["given"].values()), plan["estimates"]["offers"].values()
    early = sum(one["too_early_to_tell"] for one in told)
    words = f"{len(told)} planned for {given:,} of {plan['visitors']:,} visitors; a week's expected profit "
    words += f"{plan['profit']:,.0f} in minor units"
    return words + (f"; of {early} it is too early to tell what they change" if early else "")


def _answers(led: Mapping[str, Any]) -> str:
    rate, low, high = led["ctr"]
    of_shown = "" if rate is None else f" ({rate:.2%} of {led['shown']:,} shown"
    of_shown += "" if low is None else f", 95% {low:.2%} to {high:.2%}"
    of_shown += ")" if of_shown else ""
    bought = f"{led['purchases']:,} purchases, {led['revenue']:,} in minor units"
    return f"{led['answers']:,} in a day led to {led['clicks']:,} clicks{of_shown}, {bought}"


def _table(title: str, rows: list[Mapping[str, Any]], k: int) -> Iterator[str]:
    if not rows[0]["users"]:
        yield f"  {title}: nobody could be judged"
        return
    yield f"  {title} ({rows[0]['users']:,} visitors)"
    yield f"    {'':16}" + "".join(f"{f'{metric}@{k}':>24}" for metric in SHOWN)
    for row in rows:
        texts = ("{:.3f} [{:.3f} {:.3f}]".format(*row[metric]) for metric in SHOWN)
        yield f"    {row['name']:16}" + "".join(f"{text:>24}" for text in texts)


def _counts(drained: Mapping[str, int]) -> str:
    names = {"changes": "catalogue changes", "duplicates": "known already", "rejected": "refused rows"}
    shown = [f"{count:,} {names.get(name, name)}" for name, count in drained.items() if count or name == "events"]
    return ", ".join(shown) or "nothing"


def _history(history: Mapping[str, Any], zone: ZoneInfo) -> str:
    if not history.get("events"):
        return "no events"
    if history["first"] is None:
        return f"{history['events']:,} events without real times"
    first, last = (_local(datetime.fromisoformat(history[end]), zone) for end in ("first", "last"))
    return f"{history['events']:,} events from {first} to {last}"


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
