"""What an app's history can support and what it cannot, and why, in sentences.

`diagnose` has the history measured once (`portraits.measured`) and asks each check of `CHECKS` for its findings. A
check says what is missing and what that turns off; nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from portraits.engine import connect
from portraits.measured import Facts, count_refused, measure
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot

FEWEST_USERS = 30
"""Who came back, as far as events tell: with fewer no model can be judged (`recommender.backtest`)."""
ENOUGH_USERS = 200
ENOUGH_DAYS = 28
FEWEST_BUYERS = 30
"""Buyers from which on purchases are what is recommended for; before, it is visits, where as many come."""
RHYTHM_DAYS = 90
GOOD_SHARE = 0.8
SOME_SHARE = 0.01
REPEAT_SHARE = 0.05
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence on a subject. `ok`: True supported, False not, None supported in part or worth knowing."""

    subject: str
    ok: bool | None
    sentence: str


def diagnose(snapshot: Snapshot, settings: AppSettings) -> list[Finding]:
    """Findings on an app's history, in a fixed order of subjects."""
    con = connect()
    try:
        facts = measure(snapshot, settings, con)
        if facts is None:
            nothing = "There are no events. Import some: huaxiang import events --app APP --from FILE."
            return [Finding("events", False, nothing), *_quarantine(count_refused(snapshot, con))]
    finally:
        con.disconnect()
    return [finding for check in CHECKS for finding in check(facts)]


def _time(facts: Facts) -> Iterator[Finding]:
    if facts.time_kind == "none":
        yield Finding("time", False, "Events carry no time: recency, rhythm, seasons and time-split backtests are off.")
    elif facts.time_kind == "order":
        yield Finding("time", False, "Events carry only an order: rhythm, seasons and local hours are off.")
    else:
        span = f"{facts.first:%Y-%m-%d} to {facts.last:%Y-%m-%d} ({facts.days} days)"
        if facts.days >= ENOUGH_DAYS:
            yield Finding("time", True, f"Events run from {span}: a backtest can be split by time.")
        else:
            yield Finding("time", None, f"Events run from {span}: under {ENOUGH_DAYS} days a backtest says little.")
        if facts.events["active_days"] < facts.days / 2:
            quiet = facts.days - facts.events["active_days"]
            yield Finding("time", None, f"{quiet} of {facts.days} days have no event at all: is something missing?")
    if facts.events["clamped"]:
        yield Finding(
            "clock", None, f"{facts.events['clamped']} events came from the future; they count when they were received."
        )


def _users(facts: Facts) -> Iterator[Finding]:
    users, active, several = (facts.events[name] for name in ("users", "users_of_two_events", "users_of_two_items"))
    if active < FEWEST_USERS:
        sentence = f"{users} visitors, {active} of whom did more than one thing: it takes {FEWEST_USERS} who came back "
        sentence += "to judge a model by; until then popularity is published."
        yield Finding("visitors", False, sentence)
        return
    enough = several >= ENOUGH_USERS
    learnt = "enough to learn from each other" if enough else f"few to learn from; about {ENOUGH_USERS} are enough"
    yield Finding(
        "visitors", True if enough else None, f"{users} visitors, {several} of whom met two items or more: {learnt}."
    )


def _purchases(facts: Facts) -> Iterator[Finding]:
    purchases, buyers = facts.events["purchases"], facts.events["buyers"]
    if not purchases:
        yield Finding(
            "purchases", None, "Nothing is sold here: purchase portraits are empty, and visits or clicks are the aim."
        )
        return
    few = buyers < FEWEST_BUYERS <= facts.events["viewers"]
    yield Finding(
        "purchases",
        None if few else True,
        f"{purchases} purchase lines of {buyers} buyers"
        + (f": visits and clicks are the aim until about {FEWEST_BUYERS} have bought." if few else "."),
    )
    again = facts.events["buyers_of_two_days"] / buyers
    if facts.time_kind != "real":
        return
    if again < REPEAT_SHARE:
        yield Finding("repeat purchases", False, f"{again:.0%} of buyers came back: rhythm and 'again' have no ground.")
    else:
        long = facts.days >= RHYTHM_DAYS
        yield Finding(
            "repeat purchases",
            True if long else None,
            f"{again:.0%} of buyers bought on two days or more"
            + ("." if long else f", but {facts.days} days are short for a rhythm of weeks."),
        )


def _money(facts: Facts) -> Iterator[Finding]:
    if facts.events["purchases"]:
        priced = facts.share("priced", "purchases")
        if priced >= GOOD_SHARE:
            yield Finding("prices", True, f"{priced:.0%} of purchases have an amount.")
        else:
            yield Finding("prices", False, f"{priced:.0%} of purchases have an amount: spend and price level are off.")
        listed = facts.share("listed", "purchases")
        if listed < SOME_SHARE:
            yield Finding("discounts", False, "No list prices or discounts: love of a discount cannot be seen.")
        else:
            yield Finding("discounts", True, f"{listed:.0%} of purchases tell a list price or a discount.")
        if facts.share("ordered", "purchases") < GOOD_SHARE:
            yield Finding("orders", False, "Purchases have no order_id: baskets and refunds cannot be put together.")
    yield _margin(facts)


def _margin(facts: Facts) -> Finding:
    items = facts.catalogues["items"]
    objective = facts.settings.objective
    if items["rows"] and items["with_cost"] / items["rows"] >= GOOD_SHARE:
        return Finding("margins", True, "Items have costs: margin can be the objective.")
    if objective == "margin":
        return Finding("margins", False, "The objective is margin, but items have no cost: revenue is used instead.")
    return Finding("margins", None, "Items have no cost: revenue, not margin, can be the objective.")


def _catalogues(facts: Facts) -> Iterator[Finding]:
    items, met = facts.catalogues["items"], facts.events["items"]
    if not items["rows"]:
        yield Finding(
            "items catalogue", False, f"None: the {met} items of the events are recommended, without titles or tastes."
        )
    else:
        known = items["seen"] / met if met else 0.0
        missing = [name for name in ("title", "category", "brand", "price", "stock") if not items[f"with_{name}"]]
        sentence = f"{items['rows']} items; {known:.0%} of the {met} items in events are among them"
        sentence += f"; none has {', '.join(missing)}." if missing else "."
        yield Finding("items catalogue", known >= GOOD_SHARE if not missing else None, sentence)
    if not items["with_category"] and not items["with_brand"]:
        yield Finding("taste", False, "No item has a category or a brand: portraits hold no taste.")
    users = facts.catalogues["users"]
    if users["rows"]:
        sentence = f"{users['rows']} visitors have declared attributes, {users['seen']} of them seen in events"
        yield Finding("users catalogue", True, f"{sentence}; {users['refusing']} refuse personalisation.")
    else:
        yield Finding("users catalogue", None, "None: membership, declared attributes and refusals are not known.")
    yield from _identities(facts)


def _identities(facts: Facts) -> Iterator[Finding]:
    """How many people have several ids, and which ids were not believed: many people share a tablet."""
    rows, ignored = facts.catalogues["identities"]["rows"], facts.links.ignored
    if not rows:
        yield Finding("identities", None, "None: one visitor on two platforms counts as two.")
        return
    yield Finding("identities", True, f"{rows} links; {facts.links.persons} people are known under several ids.")
    if ignored:
        widest = sorted(ignored, key=lambda one: -one.users)[:SHOWN]
        named = ", ".join(f"{one.kind} {one.value!r} ({one.users} users)" for one in widest)
        more = f" and {len(ignored) - SHOWN} more" if len(ignored) > SHOWN else ""
        sentence = f"{len(ignored)} ids would link too many people and are ignored: {named}{more}."
        yield Finding("shared ids", None, sentence)


PRESENT = (
    ("entrances", "with_scene", "events name a scene", "No scenes: entrance portraits are empty."),
    ("sessions", "with_session_id", "events name a session", "No session ids: sessions are cut by 30 minutes of rest."),
    ("platforms", "with_platform", "events name a platform", "No platform is named: platforms cannot be told apart."),
    (
        "decisions",
        "with_decision_id",
        "events name the answer that caused them",
        "No decision ids: effects are unknown.",
    ),
    ("searches", "with_query", "events hold search words", "No search words: interest by search is empty."),
    ("sharing", "referred", "events came by a share", "No referrers: who brings friends cannot be seen."),
)


def _present(facts: Facts) -> Iterator[Finding]:
    for subject, count, some, none in PRESENT:
        share = facts.share(count)
        if facts.events[count]:
            yield Finding(subject, True if share >= SOME_SHARE else None, f"{_percent(share)} of {some}.")
        else:
            yield Finding(subject, False, none)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "under 1%"


def _shown(facts: Facts) -> Iterator[Finding]:
    shown, clicked = facts.by_type.get("exposure", 0), facts.by_type.get("click", 0)
    if shown:
        yield Finding(
            "exposures", True, f"{shown} exposures and {clicked} clicks: what was shown and ignored is known."
        )
    else:
        yield Finding("exposures", False, "No exposures: what was shown and ignored is unknown; clicks have no rate.")
    for subject, plural, without in (
        ("stores", "stores", "No stores: nothing can be said about place."),
        ("content", "contents", "No content: tastes come from items alone."),
        ("offers", "offers", "No offers in the events: their effects cannot be learnt."),
        ("group buys", "groups", "No group buys."),
    ):
        count = facts.events[plural]
        yield Finding(subject, bool(count), f"{count} {plural} appear in the events." if count else without)


def _quarantine(refused: dict[tuple[str, str], int]) -> Iterator[Finding]:
    for (table, reason), rows in refused.items():
        yield Finding("quarantine", None, f"{rows} rows of {table} could not be taken: {reason}.")
    if not refused:
        yield Finding("quarantine", True, "No row was refused.")


def _refusals(facts: Facts) -> Iterator[Finding]:
    yield from _quarantine(facts.refused)


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _time,
    _users,
    _purchases,
    _money,
    _catalogues,
    _present,
    _shown,
    _refusals,
)
