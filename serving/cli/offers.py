"""`huaxiang offers`: who gets which coupon tonight, what it costs, what it earned.

A verb here reads its options and prints; what it does lives in a module beside the concept (`serving.plan_export`,
`recommender.offers`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli.offer_plan import plan
from serving.cli.offer_reach import reach_visitors
from serving.cli.offer_truth import offers_audit, offers_evaluate, offers_report
from serving.cli.output import App, AsJson, OutFile, reporter, show
from serving.cli.wechat import from_wechat, to_wechat
from serving.plan_export import export_plan
from serving.settings import ProcessSettings
from serving.stores import Store

offers = typer.Typer(no_args_is_help=True)
offers.command("plan")(plan)
offers.command("reach")(reach_visitors)
offers.command("report")(offers_report)
offers.command("evaluate")(offers_evaluate)
offers.command("audit")(offers_audit)
offers.command("to-wechat")(to_wechat)
offers.command("from-wechat")(from_wechat)

Offer = Annotated[str | None, typer.Option("--offer", help="Of this offer alone.", show_default=False)]


@offers.command("export")
def export(app: App, out: OutFile, offer: Offer = None, as_json: AsJson = False) -> None:
    """Export tonight's plan: a row for each visitor and each offer that they may have.

    propensity: chance to be given the offer first; uplift: change of the chance to buy; expected_profit: expected
    margin of what is bought in addition, less what the offer costs. Who refused is left out. Before the first night
    with offers, a plan is made for this file alone.
    """
    process = ProcessSettings.from_env()
    with reporter() as report:
        done = export_plan(process, Store.open(process.store_url), app, out, offer=offer, tell=report.now)
    made = "" if done.published else ", by a plan made for this file alone: none is published"
    words = f"{done.rows:,} rows in {out}, as of {done.as_of}{made}"
    show({"rows": done.rows, "out": str(out), "as_of": done.as_of, "published": done.published}, words, as_json)
