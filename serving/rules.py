"""`/v1/rules`: pins and boosts over HTTP, true from the next answer on, whichever worker gives it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from serving.call import Call
from serving.promotions import check_rules, unknown, when
from serving.stores.promotions import drop_rules, put_rules
from serving.stores.rows import as_text


async def post_rules(call: Call) -> dict[str, Any]:
    """POST /v1/rules: upserts pins and boosts, all of them or none; names those about what the catalogue does not
    know."""
    model = await call.context.models.model(call.app_id, await call.state())
    rows = check_rules(call.body["rules"])
    texts = {row["rule_id"]: as_text(row) for row in rows}
    changed = await call.context.writer.write(
        call.app_id, partial(put_rules, app_id=call.app_id, texts=texts), len(texts)
    )
    found = unknown(rows, model.catalogue)
    return {"changed": changed, "unchanged": len(texts) - changed} | ({"unknown": list(found)} if found else {})


async def post_rules_list(call: Call) -> dict[str, Any]:
    """POST /v1/rules/list: every rule, whether it holds, and whether the catalogue knows what it is about."""
    model = await call.context.models.model(call.app_id, await call.state())
    rows, now = await call.context.reads.slow(call.context.store.rules, call.app_id), datetime.now(UTC)
    found = unknown(rows, model.catalogue)
    told = [row | {"when": when(row, now), "known": row["rule_id"] not in found} for row in rows]
    return {"rules": [row for row in told if not call.body["holding"] or row["when"] == "now"]}


async def post_rules_delete(call: Call) -> dict[str, Any]:
    """POST /v1/rules/delete: the rules are there no more; those that were not there are no error."""
    await call.confirm()
    write = partial(drop_rules, app_id=call.app_id, rule_ids=call.body["rule_ids"])
    return {"deleted": await call.context.writer.write(call.app_id, write)}
