"""Published templates in process memory, so that accepting and rendering ask no database."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from portal.db import Database, Revisions
from portal.message_templates.build import Kinds
from portal.message_templates.contract import Checker, Contract
from portal.message_templates.queries import AnyRow, current_entries, versions_by_id
from portal.message_templates.render import Content, VersionEntry

# A key nobody published is not asked for again this long (seconds); at most this many are remembered.
UNKNOWN_SECONDS = 1.0
UNKNOWN_AT_MOST = 10_000
VERSIONS_KEPT = 500
# Locales of a version that are compiled before it is first rendered.
COMPILED_AHEAD = 20


class TemplateEntry(Struct, frozen=True, kw_only=True):
    """A published template as accepting sees it. `contract.check(data)` takes about a microsecond."""

    id: UUID
    key: str
    name: str
    category: str | None
    priority: str | None
    version_id: UUID
    n: int
    contract: Checker
    channels: frozenset[str]
    default_locale: str


class Templates:
    """`find` answers from memory; `resolve` also asks the database, once for all who ask at the same time."""

    def __init__(self, db: Database, revisions: Revisions) -> None:
        self._db = db
        self._entries: dict[str, TemplateEntry] = {}
        self._unknown: dict[str, float] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._versions: OrderedDict[UUID, VersionEntry] = OrderedDict()
        revisions.on_change("templates", self.load)

    async def load(self) -> None:
        """Read every published template; what did not change keeps its compiled contract."""
        async with self._db.read() as conn:
            rows = await current_entries(conn)
        self._entries = {row.key: self._entry(row) for row in rows}
        self._unknown.clear()

    def find(self, key: str) -> TemplateEntry | None:
        """The published template with this key, if this process knows it."""
        return self._entries.get(key)

    def all(self) -> list[TemplateEntry]:
        """Every published template, by key."""
        return [self._entries[key] for key in sorted(self._entries)]

    async def resolve(self, key: str) -> TemplateEntry | None:
        """As `find`, asking the leader when this process does not know the key; it may have been published just now."""
        found = self._entries.get(key)
        if found is not None or self._unknown.get(key, 0.0) > time.monotonic():
            return found
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key), name="template")
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        # One who gives up must not take the answer from the others.
        await asyncio.shield(task)
        return self._entries.get(key)

    async def refresh(self, key: str) -> None:
        """Read one template again: the process that changed it need not wait for its own poll."""
        await self._ask(key)

    async def version(self, version_id: UUID) -> VersionEntry | None:
        """One version, current or not; None when there is none."""
        found = self._versions.get(version_id)
        return found if found is not None else (await self.versions([version_id])).get(version_id)

    async def versions(self, ids: Collection[UUID]) -> dict[UUID, VersionEntry]:
        """Several versions with at most one query."""
        found = {version_id: self._versions[version_id] for version_id in ids if version_id in self._versions}
        absent = [version_id for version_id in set(ids) if version_id not in found]
        if absent:
            async with self._db.read() as conn:
                rows = await versions_by_id(conn, absent)
            read = {row.id: _version(row) for row in rows}
            await asyncio.to_thread(_warm, list(read.values()))
            found.update(read)
        for version_id, entry in found.items():
            self._versions[version_id] = entry
            self._versions.move_to_end(version_id)
        while len(self._versions) > VERSIONS_KEPT:
            self._versions.popitem(last=False)
        return found

    async def _ask(self, key: str) -> None:
        async with self._db.read() as conn:
            rows = await current_entries(conn, [key])
        for row in rows:
            self._entries[row.key] = self._entry(row)
        if not rows:
            self._entries.pop(key, None)
            if len(self._unknown) >= UNKNOWN_AT_MOST:
                self._unknown.clear()
            self._unknown[key] = time.monotonic() + UNKNOWN_SECONDS

    def _entry(self, row: AnyRow) -> TemplateEntry:
        known = self._entries.get(row.key)
        same = known is not None and known.version_id == row.version_id
        return TemplateEntry(
            id=row.id,
            key=row.key,
            name=row.name,
            category=row.category,
            priority=row.priority,
            version_id=row.version_id,
            n=row.n,
            contract=known.contract if known is not None and same else _checker(row.contract),
            channels=frozenset(row.channels),
            default_locale=row.default_locale,
        )


def _warm(versions: list[VersionEntry]) -> None:
    for version in versions:
        version.content.warm(COMPILED_AHEAD)


def _checker(contract: dict[str, Any]) -> Checker:
    return Checker(msgspec.convert(contract, Contract))


def _version(row: AnyRow) -> VersionEntry:
    kinds = msgspec.convert(row.kinds, dict[str, Kinds])
    return VersionEntry(
        id=row.id,
        template_id=row.template_id,
        key=row.key,
        n=row.n,
        contract=_checker(row.contract),
        channels=frozenset(row.channels),
        default_locale=row.default_locale,
        content=Content(row.parts, kinds, row.default_locale),
    )
