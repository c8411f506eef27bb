"""The schema: every table is keyed, documented and typed."""

from __future__ import annotations

import pytest

from portraits.history import ARROW_TYPES, EVENT_TYPES, TABLES, Kind


@pytest.mark.law
@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_is_keyed_documented_and_typed(name: str) -> None:
    table = TABLES[name]
    assert table.column(table.key).required
    assert len(set(table.names)) == len(table.names)
    for column in table.columns:
        assert column.meaning
        assert table.arrow_schema().field(column.name).type == ARROW_TYPES[column.kind]
        if column.minimum is not None:
            assert column.kind in (Kind.INTEGER, Kind.DECIMAL)


def test_event_types_are_distinct() -> None:
    assert len(set(EVENT_TYPES)) == len(EVENT_TYPES) == 32
