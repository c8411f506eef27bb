"""Whose an app is: apps belong to merchants, merchants to a provider that runs several of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from portraits.errors import InvalidValue, NothingThere
from portraits.settings import APP_ID
from serving.stores import schema
from serving.stores.database import Database, now_us


@dataclass(frozen=True, slots=True)
class Provider:
    """Who runs mini programs for several merchants. Two are the same when their ids are."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider as it is listed. `merchants`: how many."""

    provider_id: str
    name: str
    merchants: int


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who owns apps. `provider_id` None: nobody's but its own."""

    merchant_id: str
    name: str
    provider_id: str | None
    apps: tuple[str, ...] = ()


class Merchants(Database):
    """Providers and merchants. Adding what is there changes what is named and keeps the rest."""

    def add_provider(self, provider_id: str, name: str | None = None) -> bool:
        """True when the provider is new. Raises InvalidValue."""
        _check("provider_id", provider_id)
        with self.write() as connection:
            return _upsert(connection, schema.providers, provider_id, {"name": name})

    def add_merchant(self, merchant_id: str, provider_id: str | None = None, name: str | None = None) -> bool:
        """True when the merchant is new. With another provider it is that one's from the next request on.

        Raises InvalidValue, NothingThere (no such provider).
        """
        _check("merchant_id", merchant_id)
        with self.write() as connection:
            if provider_id is not None:
                need_provider(connection, provider_id)
            added = _upsert(connection, schema.merchants, merchant_id, {"provider_id": provider_id, "name": name})
            _touch(connection, schema.apps.c.merchant_id == merchant_id)
        return added

    def provider(self, provider_id: str) -> Provider:
        """The provider, when there is one. Raises NothingThere."""
        if not self.read(_provider(provider_id)):
            raise _no_provider(provider_id)
        return Provider(provider_id)

    def providers(self) -> list[ProviderRow]:
        """Every provider, by id."""
        merchants = Counter(one.provider_id for one in self.merchants())
        rows = self.read(select(schema.providers).order_by(schema.providers.c.provider_id))
        return [ProviderRow(row.provider_id, row.name, merchants[row.provider_id]) for row in rows]

    def merchants(self, provider_id: str | None = None) -> list[Merchant]:
        """Every merchant (of one provider) with its apps, by id. Raises NothingThere."""
        merchants, apps = schema.merchants.c, schema.apps.c
        statement = select(schema.merchants).order_by(merchants.merchant_id)
        if provider_id is not None:
            self.provider(provider_id)
            statement = statement.where(merchants.provider_id == provider_id)
        owned = self.read(
            select(apps.app_id, apps.merchant_id).where(apps.merchant_id.is_not(None)).order_by(apps.app_id)
        )
        apps_of: dict[str, list[str]] = {}
        for row in owned:
            apps_of.setdefault(row.merchant_id, []).append(row.app_id)
        return [
            Merchant(row.merchant_id, row.name, row.provider_id, tuple(apps_of.get(row.merchant_id, ())))
            for row in self.read(statement)
        ]


def need_merchant(connection: Connection, merchant_id: str) -> None:
    """Raises NothingThere unless there is such a merchant."""
    statement = select(schema.merchants).where(schema.merchants.c.merchant_id == merchant_id)
    if connection.execute(statement).first() is None:
        raise NothingThere("merchant", merchant_id, f"add it with: huaxiang merchant add {merchant_id}")


def need_provider(connection: Connection, provider_id: str) -> None:
    """Raises NothingThere unless there is such a provider."""
    if connection.execute(_provider(provider_id)).first() is None:
        raise _no_provider(provider_id)


def touch_apps_of(connection: Connection, provider: Provider) -> None:
    """Moves the revision of every app of a provider. Raises NothingThere."""
    need_provider(connection, provider.provider_id)
    merchants = schema.merchants.c
    theirs = select(merchants.merchant_id).where(merchants.provider_id == provider.provider_id)
    _touch(connection, schema.apps.c.merchant_id.in_(theirs))


def _touch(connection: Connection, which: Any) -> None:
    connection.execute(update(schema.apps).where(which).values(revision=schema.apps.c.revision + 1))


def _upsert(connection: Connection, table: Table, key: str, given: dict[str, str | None]) -> bool:
    (column,) = table.primary_key.columns
    values = {name: value for name, value in given.items() if value is not None}
    if connection.execute(select(column).where(column == key)).first() is None:
        known = {column.name: key, "name": key, "created_us": now_us()}
        connection.execute(insert(table).values({**known, **values}))
        return True
    if values:
        connection.execute(update(table).where(column == key).values(values))
    return False


def _provider(provider_id: str) -> Any:
    return select(schema.providers).where(schema.providers.c.provider_id == provider_id)


def _no_provider(provider_id: str) -> NothingThere:
    return NothingThere("provider", provider_id, f"add it with: huaxiang provider add {provider_id}")


def _check(field: str, value: str) -> None:
    if not APP_ID.fullmatch(value):
        raise InvalidValue(field, value, "1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit")
