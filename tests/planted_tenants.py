"""Merchants under two providers, with the same ids in their apps and each one's own word in all else that it holds.

`shop` is tea's, whom `house` runs; `bakery` is bread's, whom `guild` runs; `kiosk` is nobody's but its own. What is of
the shop carries the word `panda`, what is of the bakery `zebra`; ids that requests name are the same in both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from planted_app import Client, publish_night, purchase
from planted_shelf import Candidate, Night, item

from portraits.settings import AppSettings
from serving.settings import ProcessSettings
from serving.stores import Store, schema

WORDS = {"shop": "panda", "bakery": "zebra"}
SECRET = "a secret for tests"
BUYERS = {"field": "orders", "op": ">", "value": 0}


def open_tenants(home: Path, secret: str = SECRET, url: str = "") -> tuple[ProcessSettings, Store]:
    """The apps, published, in the store at `url` (default: in `home`); nothing explored, no control group."""
    process = ProcessSettings(home=home, store_url=url, secret=secret)
    store = Store.open(process.store_url)
    for provider, merchant, app in (("house", "tea", "shop"), ("guild", "bread", "bakery")):
        store.add_provider(provider)
        store.add_merchant(merchant, provider)
        store.add_app(AppSettings(app, control_share=0.0, exploration_share=0.0), merchant)
        word, made = WORDS[app], items(WORDS[app])
        popular, near = ((made[1]["item_id"], 1.0), ("tea-green", 0.9)), {"tea-green": ((made[1]["item_id"], 0.9),)}
        table = {"chen": (Candidate(f"{word}-loaf", 0.9),)}
        publish_night(process, store, Night(items=made, table=table, popular=popular, near=near), app)
    store.add_app(AppSettings("kiosk"))
    return process, store


def items(word: str) -> list[dict[str, Any]]:
    """One item that both apps have, and one of its own."""
    tea = item("tea-green", title=f"{word} tea", category=["tea"], brand=word, price=800)
    return [tea, item(f"{word}-loaf", title=f"{word} loaf", category=[word], brand=word, price=700)]


def fill(client: Client, key: str, word: str) -> None:
    """Sends one of everything that an app can hold, with an admin key of the app."""
    sent: dict[str, dict[str, Any]] = {
        "/items": {"items": items(word)},
        "/users": {"users": [{"user_id": "chen", "member_tier": word}, {"user_id": f"{word}-user"}]},
        "/stores": {"stores": [{"store_id": "s1", "name": f"{word} street"}]},
        "/contents": {"contents": [{"content_id": "c1", "kind": "article", "title": word}]},
        "/identities": {"identities": [{"link_id": "chen-1", "user_id": "chen", "openid": f"{word}-openid"}]},
        "/offers/catalogue": {"offers": [{"offer_id": f"{word}-1", "kind": "cash", "value": 100, "title": word}]},
        "/offers/claim": {"request_id": f"{word}-wish", "user_id": "chen", "offer_id": f"{word}-1"},
        "/rules": {"rules": [{"rule_id": f"{word}-pin", "kind": "pin", "item_id": f"{word}-loaf", "position": 1}]},
        "/segments": {"name": "buyers", "title": f"{word} buyers", "rule": BUYERS},
        "/events": {"events": [purchase(f"{word}-1", "chen", f"{word}-loaf"), {"event_id": word}]},
    }
    for path, body in sent.items():
        answer = client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {key}"})
        if answer.status_code != 200:
            raise RuntimeError(answer.text)


def content(store: Store, app_id: str = "") -> list[str]:
    """Every row of every table (of one app), as text. What is counted on the way, the app's own row, is left out."""
    rows = []
    for table in schema.metadata.sorted_tables:
        for row in store.read(table.select()):
            told = dict(row._mapping)
            if not app_id or (told.get("app_id") == app_id and table is not schema.apps):
                rows.append(f"{table.name} {json.dumps(told, sort_keys=True)}")
    return sorted(rows)
