"""An independent reading of the entrance family."""

from __future__ import annotations

from collections import Counter

from plain_shop import Row

from portraits.scenes import channel


def entrance(visits: list[list[Row]]) -> Row:
    """Of the sessions of what the visitor did."""
    entered = [(channel(visit[0].get("platform"), visit[0].get("scene")), visit) for visit in visits]
    count = Counter(name for name, _ in entered)
    spend: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    for name, visit in entered:
        spend[name] += sum(row["amount"] for row in visit if row["type"] == "purchase")
        revenue[name] += sum(row.get("revenue") or 0 for row in visit)
    money = {name: spend[name] + revenue[name] for name in count}
    share = {name: times / len(entered) for name, times in count.items()}
    listed = [{"channel": n, "visits": count[n], "spend": spend[n], "revenue": revenue[n]} for n in count]
    return {
        "first_channel": entered[0][0] if entered else None,
        "last_channel": entered[-1][0] if entered else None,
        "usual_channel": min(count, key=lambda name: (-count[name], name)) if count else None,
        "best_channel": min(money, key=lambda name: (-money[name], name)) if any(money.values()) else None,
        "scan_share": share.get("scan", 0.0) if entered else None,
        "share_share": share.get("share_chat", 0.0) + share.get("share_moments", 0.0) if entered else None,
        "channels": sorted(listed, key=lambda entry: (-entry["visits"], entry["channel"])) or None,
    }
