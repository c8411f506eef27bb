"""One request of each route, for readers of the OpenAPI document; a test sends them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BUYERS = {"field": "orders", "op": ">", "value": 0}
_VIEW = {"type": "item_view", "item_id": "tea-green", "ts": "2026-03-10T12:00:00+08:00"}

EXAMPLES: Mapping[str, dict[str, Any]] = {
    "/events": {"events": [{"event_id": "e1", "user_id": "chen", **_VIEW}]},
    "/recommend": {"user_id": "chen", "n": 3, "placement": "home", "filters": {"category": ["tea"]}},
    "/similar": {"item_id": "tea-green", "n": 3},
    "/together": {"items": ["tea-green", "cup-white"], "n": 3},
    "/trending": {"n": 3, "lang": "zh"},
    "/offers": {"user_id": "chen", "context": {"hour": 20}},
    "/offers/claim": {"request_id": "r1", "user_id": "chen", "offer_id": "o1", "store_id": "s1"},
    "/offers/redeem": {"request_id": "r2", "user_id": "chen", "offer_id": "o1", "order_id": "order-7", "amount": 3990},
    "/offers/return": {"request_id": "r3", "user_id": "chen", "offer_id": "o1"},
    "/items": {"items": [{"item_id": "tea-green", "title": "Green tea", "category": ["tea"], "price": 3990}]},
    "/users": {"users": [{"user_id": "chen", "member_tier": "gold", "consent": True}]},
    "/stores": {"stores": [{"store_id": "s1", "name": "At the lake"}]},
    "/contents": {"contents": [{"content_id": "c1", "kind": "article", "item_ids": ["tea-green"]}]},
    "/identities": {"identities": [{"link_id": "chen-1", "user_id": "chen", "anonymous_id": "guest-417"}]},
    "/offers/catalogue": {"offers": [{"offer_id": "o1", "title": "5 off", "kind": "cash", "value": 500}]},
    "/rules": {"rules": [{"rule_id": "spring", "kind": "pin", "item_id": "tea-green", "position": 1}]},
    "/rules/list": {"holding": True},
    "/rules/delete": {"rule_ids": ["spring"]},
    "/forget": {"user_id": "wang"},
    "/token": {"user_id": "chen", "ttl": 600},
    "/portrait": {"user_id": "chen", "lang": "zh"},
    "/portrait/export": {"user_id": "chen", "n": 100},
    "/tags/delete": {"user_id": "chen", "tag": "top_category"},
    "/personalization": {"user_id": "chen", "on": False},
    "/segments": {"name": "buyers", "title": "Buyers", "rule": _BUYERS},
    "/segments/list": {"lang": "zh"},
    "/segments/delete": {"name": "buyers"},
    "/segments/preview": {"rule": _BUYERS},
    "/segments/match": {"user_id": "chen", "rule": _BUYERS},
    "/segments/compare": {"one": {"rule": _BUYERS}, "other": {"name": "loyal"}},
    "/segments/profile": {"segment": {"rule": _BUYERS}, "fields": ["stage"]},
}
"""By path, below `/v1`."""
