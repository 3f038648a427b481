"""The database port: connections, column types, ids, set-based writes and revisions.

It owns how we talk to PostgreSQL, MariaDB and SQLite and nothing of what is stored. Statements are SQLAlchemy Core over
declarative tables; there are no ORM sessions.
"""

from portal.db import bulk
from portal.db.engine import Database
from portal.db.ids import id_from, new_id, new_ids
from portal.db.revisions import Revisions, bump
from portal.db.types import Base, Blob, Id, Json, UtcDateTime, db_now, exact

__all__ = [
    "Base",
    "Blob",
    "Database",
    "Id",
    "Json",
    "Revisions",
    "UtcDateTime",
    "bulk",
    "bump",
    "db_now",
    "exact",
    "id_from",
    "new_id",
    "new_ids",
]
