"""Categories from process memory."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, Revisions, bulk, bump
from portal.preferences.models import Category


class CategoryEntry(Struct, frozen=True):
    """A category as the hot path sees it."""

    key: str
    name: str
    required: bool = False
    doubt_policy: str = "resend"
    transactional: bool = False


class Categories:
    """Every category, reloaded when one changes."""

    def __init__(self, db: Database, revisions: Revisions) -> None:
        self._db = db
        self._entries: dict[str, CategoryEntry] = {}
        revisions.on_change("categories", self.load)

    async def load(self) -> None:
        """Read all categories."""
        async with self._db.read() as conn:
            self._entries = {entry.key: entry for entry in await all_categories(conn)}

    def find(self, key: str) -> CategoryEntry | None:
        """The category of this key."""
        return self._entries.get(key)

    def all(self) -> list[CategoryEntry]:
        """Every category, by key."""
        return sorted(self._entries.values(), key=lambda entry: entry.key)

    def doubt_policy(self, key: str) -> str:
        """`resend` or `hold`; an unknown category resends."""
        entry = self._entries.get(key)
        return entry.doubt_policy if entry else "resend"


async def all_categories(conn: AsyncConnection) -> list[CategoryEntry]:
    """Every category by key."""
    columns = (Category.key, Category.name, Category.required, Category.doubt_policy, Category.transactional)
    rows = await conn.execute(select(*columns).order_by(Category.key))
    return [CategoryEntry(*row) for row in rows]


async def ensure_category(conn: AsyncConnection, key: str, name: str | None = None) -> None:
    """Make the category unless it exists: a template may name a new one."""
    if (await conn.execute(select(Category.key).where(Category.key == key))).first() is None:
        title = name or key.replace("-", " ").replace("_", " ").capitalize()
        await bulk.insert_ignore(conn, Category, [{"key": key, "name": title}])
        await bump(conn, "categories")
