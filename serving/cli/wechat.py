"""`huaxiang offers to-wechat` and `from-wechat`: coupon stocks, coupons and payments of WeChat Pay."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from portraits.errors import InvalidValue, NothingThere, UnreadableFile
from portraits.lake import Lake
from serving.cli.output import App, AsJson, in_a_folder, show
from serving.imports import take_file
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.wechat.coupons import coupon_events, payment_events
from serving.wechat.from_stock import offer_of
from serving.wechat.to_stock import Issuer, stock_of

Accept = Annotated[
    list[str] | None,
    typer.Option("--accept", metavar="FIELD", help="Go on without what cannot be said.", show_default=False),
]


def to_wechat(
    *,
    app: App,
    offer: Annotated[str, typer.Option("--offer", help="The offer.", show_default=False)],
    kind: Annotated[str, typer.Option("--kind", help="favor (cash coupon) or busifavor (merchant coupon).")],
    merchant: Annotated[str, typer.Option("--merchant", help="Your merchant number (mchid).", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="The stock's name, if not the title.")] = None,
    appid: Annotated[str | None, typer.Option("--appid", help="Mini program a merchant coupon is used in.")] = None,
    path: Annotated[str | None, typer.Option("--path", help="Its page.")] = None,
    accept: Accept = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="To write.", dir_okay=False, callback=in_a_folder)
    ] = None,
) -> None:
    """Write an offer as the body that creates a stock of WeChat Pay coupons.

    What a stock cannot say is named and has to be accepted, field by field.
    """
    store = Store.open(ProcessSettings.from_env().store_url)
    settings = store.app(app)
    row = next((row for row in store.changes(app, "offers") if row["offer_id"] == offer), None)
    if row is None:
        raise NothingThere("offer", offer, f"import it first: huaxiang import offers --app {app} --from FILE")
    made = stock_of(row, kind, Issuer(merchant, ZoneInfo(settings.time_zone), name, appid, path))
    _only_accepted(made.lost, accept)
    text = json.dumps(made.body, ensure_ascii=False, indent=2)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
        typer.echo(f"{out}: the body of a {kind} stock for offer {offer}")


def from_wechat(
    *,
    app: App,
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="JSON or JSONL as the platform gives it.", exists=True)
    ],
    stock: Annotated[
        list[str] | None, typer.Option("--stock", metavar="STOCK_ID=OFFER_ID", help="Which offer a stock is.")
    ] = None,
    max_cost: Annotated[
        int | None, typer.Option("--max-cost", min=1, help="The most one discount or exchange coupon may cost, fen.")
    ] = None,
    accept: Accept = None,
    as_json: AsJson = False,
) -> None:
    """Import stocks as offers, and coupons and paid transactions as events; twice changes nothing.

    A body with stock_use_rule or stock_send_rule is a stock, one with trade_state a transaction, others are coupons.
    """
    process = ProcessSettings.from_env()
    store, lake = Store.open(process.store_url), Lake(process.lake)
    store.app(app)
    named, offers, events = _named(stock), [], []
    lost: dict[str, Any] = {}
    for body in _bodies(source):
        if "stock_use_rule" in body or "stock_send_rule" in body:
            taken = offer_of(body, offer_id=named.get(str(body.get("stock_id"))), max_cost=max_cost)
            offers.append(taken.offer)
            lost |= taken.lost
        else:
            told = payment_events(body, named) if "trade_state" in body else coupon_events(body, named)
            events += told.events
            typer.echo("".join(f"{field}: {why}\n" for field, why in told.lost.items()), err=True, nl=False)
    _only_accepted(lost, accept)
    done = {
        name: _take(store, lake, app, name, rows) for name, rows in (("offers", offers), ("events", events)) if rows
    }
    lines = [", ".join(f"{count:,} {what}" for what, count in told.items()) for told in done.values()]
    show(done, [f"{name}: {line}" for name, line in zip(done, lines, strict=True)] or "nothing to import", as_json)


def _only_accepted(lost: Mapping[str, Any], accept: Iterable[str] | None) -> None:
    """Names what is lost; raises InvalidValue for the first that was not accepted."""
    accepted = set(accept or ())
    for field, why in lost.items():
        typer.echo(f"not said: {field}: {why}", err=True)
    left = [field for field in lost if field not in accepted]
    if left:
        raise InvalidValue(
            left[0], lost[left[0]], " ".join(f"--accept {field}" for field in left) + ", or another rule"
        )


def _named(stock: Iterable[str] | None) -> dict[str, str]:
    named = {}
    for pair in stock or ():
        stock_id, equals, offer_id = pair.partition("=")
        if not (stock_id and equals and offer_id):
            raise InvalidValue("--stock", pair, "STOCK_ID=OFFER_ID")
        named[stock_id] = offer_id
    return named


def _bodies(source: Path) -> Iterator[dict[str, Any]]:
    """JSON objects of a file: one, a list, a page of them (`data`), or one a line."""
    try:
        text = source.read_text(encoding="utf-8")
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise UnreadableFile(str(source), str(problem)) from None
    if isinstance(found, dict):
        found = found["data"] if isinstance(found.get("data"), list) else [found]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnreadableFile(str(source), "JSON objects were expected")
    yield from found


def _take(store: Store, lake: Lake, app: str, table: str, rows: list[dict[str, Any]]) -> dict[str, int]:
    """Imports rows as a file of theirs would be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{table}.jsonl"
        path.write_text("".join(json.dumps(row, default=_text, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        done = take_file(store, lake, app, table, path)
    return {name: getattr(done, name) for name in ("accepted", "duplicates", "quarantined")}


def _text(value: Any) -> str:
    return str(value.isoformat())
