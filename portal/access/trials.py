"""Applications in trial mode and their guest lists, from process memory."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from portal.access.models import Application
from portal.db import Database, Revisions


class Trials:
    """An application in trial mode reaches only the addresses on its guest list."""

    def __init__(self, db: Database, revisions: Revisions) -> None:
        self._db = db
        self._guests: dict[UUID, frozenset[str]] = {}
        revisions.on_change("keys", self.load)

    async def load(self) -> None:
        """Read every application that is on trial."""
        statement = select(Application.id, Application.guest_list).where(Application.trial)
        async with self._db.read() as conn:
            self._guests = {row.id: frozenset(row.guest_list or ()) for row in await conn.execute(statement)}

    def bars(self, application_id: UUID, address: str) -> bool:
        """Whether this application may not write to this address."""
        guests = self._guests.get(application_id)
        return guests is not None and address not in guests
