"""Pins and boosts in the store: what the merchant wants now, whole rows by rule_id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from portraits.errors import TooMuch
from serving.stores import schema
from serving.stores.apps import touch
from serving.stores.database import Database, now_us
from serving.stores.dialect import upsert

MOST_RULES = 500
"""Rules of one app: every answer looks at them all."""


class Promoting(Database):
    """The part of the store that saves, lists and deletes pins and boosts."""

    def save_rules(self, app_id: str, texts: Mapping[str, str]) -> int:
        """See `put_rules`."""
        with self.write() as connection:
            return put_rules(connection, app_id, texts)

    def delete_rules(self, app_id: str, rule_ids: Sequence[str]) -> int:
        """See `drop_rules`."""
        with self.write() as connection:
            return drop_rules(connection, app_id, rule_ids)

    def rules(self, app_id: str) -> list[dict[str, Any]]:
        """The app's rules by rule_id, as JSON keeps them: without empty columns, times and decimals as text."""
        c = schema.rules.c
        return [json.loads(row.payload) for row in self.read(_of(app_id).order_by(c.rule_id))]


def put_rules(connection: Connection, app_id: str, texts: Mapping[str, str]) -> int:
    """Saves rules (rule_id -> row as JSON) inside a transaction that no other writer is in; how many changed.

    The app's revision moves, so every worker reads them again before its next answer.

    Raises UnknownApp. TooMuch: the app would have more than MOST_RULES; nothing was saved.
    """
    touch(connection, app_id)
    before = {row.rule_id: row.payload for row in connection.execute(_of(app_id))}
    changed = {rule_id: text for rule_id, text in texts.items() if before.get(rule_id) != text}
    if (total := len(before.keys() | texts.keys())) > MOST_RULES:
        raise TooMuch("rules", total, MOST_RULES)
    if changed:
        common = {"app_id": app_id, "changed_us": now_us()}
        rows = [common | {"rule_id": rule_id, "payload": text} for rule_id, text in changed.items()]
        upsert(connection, schema.rules, rows, replace=("payload", "changed_us"))
    return len(changed)


def drop_rules(connection: Connection, app_id: str, rule_ids: Sequence[str]) -> int:
    """Deletes rules inside a transaction that no other writer is in; how many were there. Raises UnknownApp."""
    touch(connection, app_id)
    c = schema.rules.c
    return connection.execute(delete(schema.rules).where(c.app_id == app_id, c.rule_id.in_(rule_ids))).rowcount


def _of(app_id: str) -> Any:
    return select(schema.rules.c.rule_id, schema.rules.c.payload).where(schema.rules.c.app_id == app_id)
