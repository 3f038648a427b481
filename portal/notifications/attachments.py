"""Uploaded files: taking them in, checking that a request may name them, and loading them for sending."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.notifications.models import AttachmentFile
from portal.sdk import Attachment


async def load_attachments(conn: AsyncConnection, ids: Collection[str]) -> dict[str, Attachment]:
    """The files with these ids by id; one that has expired meanwhile is missing. No query when there are no ids."""
    if not ids:
        return {}
    columns = (AttachmentFile.id, AttachmentFile.name, AttachmentFile.content_type, AttachmentFile.content)
    rows = await conn.execute(select(*columns).where(AttachmentFile.id.in_([UUID(id_) for id_ in ids])))
    return {
        str(row.id): Attachment(name=row.name, content_type=row.content_type, content=bytes(row.content))
        for row in rows
    }
