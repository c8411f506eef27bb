"""The console: who gets in, one app only, and pages that print whatever a merchant's data holds, safely."""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pyarrow as pa
import pytest
from planted_app import Client
from planted_shelf import Candidate, Night, item
from starlette.applications import Starlette

from portraits.build import build
from portraits.history import EVENTS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.bundles.bundle import write_bundle
from serving.app import v1
from serving.console import routes
from serving.console.links import LINK_HOURS, make_link, use_link
from serving.console.session import COOKIE, Session, seal, unseal
from serving.context import Context
from serving.events import store_batch
from serving.publish import publish
from serving.sent_events import prepare
from serving.settings import ProcessSettings
from serving.stores.merchants import Provider
from serving.summary import NightSummary
from serving.tenants import PAUSE_S
from serving.tokens import Token

NOW = datetime.now(UTC).replace(microsecond=0)
ANN = 'ann <b>"&中文😀'
TITLE = "<script>alert('茶')</script>"


def test_a_session_is_what_was_sealed_and_nothing_else() -> None:
    session = Session("shop", 2_000, "k1")
    sealed = seal(session, "secret")
    assert unseal(sealed, "secret", now=1_999) == session
    assert unseal(sealed, "secret", now=2_000) is None
    assert unseal(sealed, "another secret", now=0) is None
    assert unseal(seal(replace(session, app_id="other"), "") or "", "secret", now=0) is None
    body, signature = sealed.split(".")
    for forged in ("", ".", "é.é", body, f"{body}.", f"{body}.{signature[:-4]}AAAA", f"{sealed}.{body}"):
        assert unseal(forged, "secret", now=0) is None


def test_a_link_opens_once(tmp_path: Path) -> None:
    token = make_link(tmp_path, "shop")
    assert not list(tmp_path.rglob(f"*{token}*"))
    assert use_link(tmp_path, "guess") is None
    assert use_link(tmp_path, token) == "shop"
    assert use_link(tmp_path, token) is None


def test_links_that_are_too_old_are_deleted_when_another_is_made(tmp_path: Path) -> None:
    make_link(tmp_path, "shop")
    (old,) = (tmp_path / "links").iterdir()
    os.utime(old, (0, old.stat().st_mtime - LINK_HOURS * 3600 - 1))
    token = make_link(tmp_path, "shop")
    make_link(tmp_path, "shop")
    assert not old.exists()
    assert use_link(tmp_path, token) == "shop"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """Two apps; `shop` has a night behind it: portraits of ann, a model, a record of the night, an event since."""
    settings = ProcessSettings(home=tmp_path_factory.mktemp("home"), secret="s" * 32)
    context = Context.open(settings)
    store, lake = context.store, Lake(settings.lake)
    for app_id in ("shop", "other"):
        store.add_app(AppSettings(app_id, control_share=0.0))
    store.upsert("shop", "items", [{"item_id": "tea", "title": TITLE, "price": 12_800, "image": "javascript:alert(1)"}])
    lake.append("shop", "events", _purchases(), "test")
    portraits = settings.home / "built"
    build(lake.snapshot("shop"), store.app("shop"), NOW, portraits)
    bundle = settings.home / "bundle"
    night = Night(
        [item("tea", title=TITLE, price=12_800), item("pot", title="茶壶", price=25_900)],
        table={ANN: [Candidate("pot", 0.9, "als", "tea")]},
        popular=[("tea", 1.0), ("pot", 0.5)],
        repeat=True,
    )
    write_bundle(bundle, night.arrays(), night.manifest)
    publish(settings, store, "shop", as_of=NOW, bundle=bundle, portraits=portraits, version="v1")
    store.start_run("shop", "v1", NOW)
    store.finish_run("shop", "v1", "published", _summary().to_dict())
    _send(context, {"event_id": "late", "user_id": ANN, "ts": NOW.isoformat(), "type": "item_view", "item_id": "tea"})
    yield context
    context.close()


def _purchases() -> pa.Table:
    common = {"user_id": ANN, "type": "purchase", "item_id": "tea", "amount": 12_800}
    rows = [common | {"event_id": f"e{day}", "ts": NOW - timedelta(days=day)} for day in (30, 20, 10)]
    return pa.Table.from_pylist(rows, schema=EVENTS.arrow_schema())


def _summary() -> NightSummary:
    row = {"users": 50, "recall": [0.5, 0.4, 0.6], "ndcg": [0.4321, 0.4, 0.5], "hit": [0.9, 0.8, 1.0]}
    rows = [{"name": name, "part": "all"} | row for name in ("recent_popular", "served")]
    compared = [{"rival": "recent_popular", "part": "all", "difference": [0.3, 0.2, 0.4], "lost": False}]
    return NightSummary(
        "shop",
        "v1",
        NOW,
        "published",
        "the new model is better",
        version="v1",
        drained={"events": 1_234},
        history={"events": 3},
        portraits=1,
        backtest={"k": 10, "rows": rows},
        compared=compared,
        seconds={"drain": 1.5, "train": 75.0},
        warnings=("no stores: <place> is off",),
    )


def _send(context: Context, event: dict[str, object]) -> None:
    batch = prepare([event], NOW)
    with context.store.write() as connection:
        store_batch(connection, "shop", batch)


class Browser(Client):
    """A browser on the console; it keeps cookies and does not follow redirects."""

    def __init__(self, context: Context) -> None:
        super().__init__(Starlette(routes=routes(context)))

    def visitor(self, user_id: str) -> httpx.Response:
        return self.get(f"/console/visitor?id={quote(user_id)}")

    def enter(self, token: str) -> httpx.Response:
        return self.get(f"/console/enter?token={token}")

    def carry(self, cookie: str) -> None:
        self._http.cookies.set(COOKIE, cookie, domain="test")

    def send_form(self, body: bytes) -> httpx.Response:
        return self.post("/console/enter", content=body, headers={"content-type": "application/x-www-form-urlencoded"})


@pytest.fixture
def client(context: Context) -> Iterator[Browser]:
    with Browser(context) as browser:
        yield browser


@pytest.fixture
def inside(client: Browser, context: Context) -> Browser:
    token = make_link(context.settings.home, "shop")
    assert client.enter(token).headers["location"] == "/console"
    return client


PAGES = ("/console", "/console/visitor?id=ann", "/console/nights")


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_a_session(client: Browser, page: str) -> None:
    for cookie in ("", "x.y", seal(Session("shop", 9_999_999_999, ""), "guessed")):
        client.carry(cookie)
        answer = client.get(page)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/enter")


def test_the_cookie_is_out_of_reach_and_the_link_is_used_up(client: Browser, context: Context) -> None:
    token = make_link(context.settings.home, "shop")
    answer = client.enter(token)
    for flag in ("HttpOnly", "SameSite=strict", "Path=/console", "Max-Age="):
        assert flag in answer.headers["set-cookie"]
    assert client.enter(token).status_code == 403
    assert client.get("/console").status_code == 200
    assert client.post("/console/leave").status_code == 303
    assert client.get("/console").status_code == 303


def test_a_marketing_key_opens_its_app_until_it_is_revoked(client: Browser, context: Context) -> None:
    key = context.store.add_key("shop", "marketing")
    assert client.post("/console/enter", data={"key": f" {key} "}).status_code == 303
    assert client.get("/console").status_code == 200
    found = context.store.find_key(key)
    assert found is not None
    context.store.revoke_key("shop", found.key_id)
    assert client.get("/console").status_code == 303
    assert client.post("/console/enter", data={"key": key}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"key=", b"key=hx_guess", b"nonsense", b"key=%ff%00", b"x" * 100_000])
def test_a_wrong_key_is_refused(client: Browser, body: bytes) -> None:
    assert client.send_form(body).status_code in (403, 413)


def test_a_key_for_events_does_not_open_the_console(client: Browser, context: Context) -> None:
    key = context.store.add_key("shop", "events")
    assert client.post("/console/enter", data={"key": key}).status_code == 403


def test_a_provider_s_key_does_not_open_the_console(client: Browser, context: Context) -> None:
    """A page is of one app; a provider has many."""
    context.store.add_provider("house")
    key = context.store.add_key(Provider("house"), "marketing")
    assert client.post("/console/enter", data={"key": key}).status_code == 403


def test_without_a_secret_nobody_gets_in(context: Context) -> None:
    open_to_all = replace(context, settings=replace(context.settings, secret=""))
    with Browser(open_to_all) as client:
        token = make_link(context.settings.home, "shop")
        assert client.enter(token).status_code == 503
        client.carry(seal(Session("shop", 9_999_999_999, ""), ""))
        assert client.get("/console").status_code == 303


def test_the_visitors_page_offers_examples(inside: Browser) -> None:
    page = inside.get("/console")
    link = re.search(r'href="(/console/visitor\?id=[^"]+)"', page.text)
    assert link is not None
    assert inside.get(html.unescape(link[1])).status_code == 200
    assert ">3</dd>" in page.text


def test_a_visitor_in_words_with_what_would_be_shown_and_why(inside: Browser) -> None:
    page = inside.visitor(ANN)
    assert page.status_code == 200
    for text in ("Ordered 3 times", "茶壶", "CNY 259.00", "item view", "Because you"):
        assert text in page.text


def test_what_a_merchant_sends_is_text_and_never_markup(inside: Browser) -> None:
    page = inside.visitor(ANN)
    assert "<script" not in page.text
    assert "javascript:" not in page.text
    assert "ann &lt;b&gt;" in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_what_marketers_pinned_is_shown_as_the_interface_shows_it(inside: Browser, context: Context) -> None:
    app = Starlette(routes=[v1(context)])
    key = {"authorization": f"Bearer {context.store.add_key('shop', 'admin')}"}
    tea, pot = html.escape(TITLE), "茶壶"
    with Client(app) as interface:
        for first, then, item_id in ((tea, pot, "tea"), (pot, tea, "pot")):
            pin = {"rule_id": "p", "kind": "pin", "item_id": item_id, "position": 1}
            assert interface.post("/v1/rules", json={"rules": [pin]}, headers=key).status_code == 200
            shelf = interface.post("/v1/recommend", json={"user_id": ANN, "n": 10}, headers=key).json()["items"]
            assert shelf[0]["item_id"] == item_id
            page = html.unescape(inside.visitor(ANN).text)
            cards = page[page.index("What they would be shown now") :]
            assert cards.index(html.unescape(first)) < cards.index(html.unescape(then))
        interface.post("/v1/rules/delete", json={"rule_ids": ["p"]}, headers=key)


def test_wrong_keys_are_looked_up_as_those_of_requests_are(client: Browser, context: Context) -> None:
    """With the same brake: after a wrong one the next look-up comes later, whoever asks for it."""
    brake = context.tenants._look_ups
    for number in range(3):
        before = brake._next_at
        assert client.post("/console/enter", data={"key": f"hx_shop_guess{number}"}).status_code == 403
        assert brake._next_at >= before + PAUSE_S


def test_a_token_does_not_open_the_console(client: Browser, context: Context) -> None:
    key = context.store.add_key("shop", "admin")
    found = context.store.find_key(key)
    assert found is not None
    now = time.time()
    token = context.tenants.tokens.make(Token("shop", found.key_id, "ann", now + 60), now)
    assert client.post("/console/enter", data={"key": token}).status_code == 403


def test_looking_writes_no_decision(inside: Browser, context: Context) -> None:
    before = context.store.decisions_to_drain("shop").payloads
    inside.visitor(ANN)
    assert context.store.decisions_to_drain("shop").payloads == before


@pytest.mark.parametrize("user_id", ["nobody", "x" * 5_000, "../../etc/passwd", "\x00", "名无"])
def test_a_stranger_has_a_page_too(inside: Browser, user_id: str) -> None:
    page = inside.visitor(user_id)
    assert page.status_code == 200
    assert "No portrait" in page.text


def test_who_refused_has_no_portrait_on_the_page(inside: Browser, context: Context) -> None:
    context.store.upsert("shop", "users", [{"user_id": ANN, "consent": False}])
    try:
        page = inside.visitor(ANN)
    finally:
        context.store.upsert("shop", "users", [{"user_id": ANN, "consent": True}])
    assert "Ordered 3 times" not in page.text
    assert "turned personalisation off" in page.text
    assert "No event since then" in page.text


def test_nights_with_verdict_figures_and_warnings(inside: Browser) -> None:
    page = inside.get("/console/nights").text
    for text in ("Published", "NDCG@10", "0.432", "0.400 to 0.500", "1,234", "1 min 15 s", "&lt;place&gt;", "+0.300"):
        assert text in page


@pytest.mark.law
def test_one_app_sees_nothing_of_another(client: Browser, context: Context) -> None:
    token = make_link(context.settings.home, "other")
    client.enter(token)
    pages = [client.get(page).text for page in ("/console", "/console/nights")]
    pages.append(client.visitor(ANN).text)
    for page in pages:
        assert "茶" not in page
        assert "Ordered" not in page
        assert "0.432" not in page


def test_the_style_is_served_from_the_package(client: Browser) -> None:
    assert client.get("/console/static/console.css").headers["content-type"].startswith("text/css")
