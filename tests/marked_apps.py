"""Two apps with the same ids, for tests of every route: all that `other` says is marked, `shop` must never say it.

The ids are those of the OpenAPI document's examples, so the examples find something. Only the shop has portraits.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from planted_app import Client, night, publish_night
from planted_shelf import Candidate, item
from published_shop import PATIENT_S, open_published_shop
from starlette.applications import Starlette

from portraits.settings import AppSettings
from serving.app import v1
from serving.context import Context
from serving.segments.analyst import Analyst
from serving.segments.published import Published
from serving.stores import Store

MARK = "wq7canary7qw"
"""Stands in every text of `other`, and in ids of which only `other` knows."""
PROVIDER = "house"
"""May act for `shop`, not for `other`."""
ITEMS = ("tea-green", "tea-black", "cup-white")
BUYERS = {"field": "orders", "op": ">", "value": 0}


def open_marked(home: Path) -> Context:
    """Both apps, filled and published, open for requests."""
    process, store, _ = open_published_shop(home)
    store.add_app(AppSettings("other", exploration_share=0.0))
    store.add_provider(PROVIDER)
    store.add_merchant("tea-house", PROVIDER)
    store.add_app(AppSettings("shop"), "tea-house")
    publish_night(process, store, _shelf(*ITEMS))
    publish_night(process, store, _shelf(*ITEMS, f"only-{MARK}"), "other")
    store.close()
    opened = Context.open(process)
    opened.analyst.close()
    patient = Analyst(process, PATIENT_S, PATIENT_S)
    context = replace(opened, analyst=patient, published=Published(process, patient))
    with Client(Starlette(routes=[v1(context)])) as client:
        _fill(client, context.store, "shop", "plain")
        _fill(client, context.store, "other", MARK)
    return context


def _shelf(*items: str) -> Any:
    first, second, third, *_ = items
    return night(
        items=_items(items, "bundled"),
        table={"chen": (Candidate(items[-1], 0.9), Candidate(second, 0.8))},
        popular=tuple((name, 1.0) for name in items),
        near={first: ((second, 0.9),)},
        together={first: ((third, 0.8),)},
        occasions={"now": ((second, 3.5),)},
    )


def _items(names: tuple[str, ...], word: str) -> list[dict[str, Any]]:
    return [item(name, title=f"{word} {name}", category=["tea", word], brand=word, price=900) for name in names]


def _fill(client: Client, store: Store, app_id: str, word: str) -> None:
    """Sends a row of every kind, with the word in each text and in an id."""
    headers = {"authorization": f"Bearer {store.add_key(app_id, 'admin')}"}
    only, now = f"only-{word}", datetime.now(UTC)
    later = (now + timedelta(days=300)).isoformat()
    bought = {"type": "purchase", "item_id": only, "order_id": only, "amount": 900, "query": word, "city": word}
    offer = {"kind": "cash", "value": 500, "title": word}
    sent: dict[str, dict[str, Any]] = {
        "/items": {"items": _items((*ITEMS, only), word)},
        "/users": {"users": [{"user_id": "chen", "member_tier": word, "attributes": {"city": word}}]},
        "/stores": {"stores": [{"store_id": "s1", "name": word}, {"store_id": only}]},
        "/contents": {"contents": [{"content_id": "c1", "title": word, "item_ids": [only]}]},
        "/identities": {"identities": [{"link_id": "chen-1", "user_id": "chen", "openid": only}]},
        "/offers/catalogue": {"offers": [{"offer_id": "o1", **offer}, {"offer_id": only, **offer, "ends": later}]},
        "/rules": {"rules": [{"rule_id": only, "kind": "boost", "item_id": only, "factor": 2, "placement": word}]},
        "/segments": {"name": only, "title": word, "rule": BUYERS},
        "/events": {"events": [{"event_id": only, "user_id": "chen", "ts": now.isoformat(), **bought}]},
    }
    for path, body in sent.items():
        answer = client.post(f"/v1{path}", json=body, headers=headers)
        if answer.status_code != 200:
            raise ValueError(f"{path} was refused: {answer.text}")
