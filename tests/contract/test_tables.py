"""What every table keeps: lengths for MariaDB, instants in UTC, kinds as text, and a ledger that can be partitioned."""

from __future__ import annotations

import pytest
from sqlalchemy import DateTime, Enum, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

import portal.models
from portal.db import Base, UtcDateTime

assert portal.models.metadata is Base.metadata  # its import declared every table

METADATA: MetaData = Base.metadata
TABLES = METADATA.sorted_tables
LEDGER = {
    "notification",
    "notification_content",
    "notification_metadata",
    "chunk",
    "delivery",
    "attempt",
    "ledger_count",
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_has_a_type_that_all_databases_share(table: Table) -> None:
    for column in table.columns:
        kind = column.type
        assert not isinstance(kind, Enum), f"{column}: kinds are text, checked against the registry"
        assert not isinstance(kind, DateTime), f"{column}: instants are UtcDateTime"
        if type(kind) is LargeBinary:
            assert kind.length, f"{column}: without a length MariaDB refuses more than 64 KiB; use Blob"
        if isinstance(kind, String) and not isinstance(kind, Text):
            assert kind.length, f"{column}: MariaDB needs a length"
        if column.name.endswith("_at"):
            assert isinstance(kind, UtcDateTime), f"{column}: a name in _at is an instant"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_ledger_is_ready_to_be_partitioned(table: Table) -> None:
    for key in table.foreign_keys:
        assert table.name not in LEDGER, f"{key.parent}: no foreign keys among the ledger"
        assert key.column.table.name not in LEDGER, f"{key.parent}: no foreign keys into the ledger"
    if table.name in LEDGER:
        first = next(iter(table.primary_key.columns))
        unique = [index.columns for index in table.indexes if index.unique]
        unique += [each.columns for each in table.constraints if isinstance(each, UniqueConstraint)]
        leading = [next(iter(columns)) for columns in unique]
        assert [column for column in leading if column is not first] == []
