"""Uploaded files: taking them in, checking that a request may name them, loading them for sending, forgetting them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.db import Database, db_now, new_id
from portal.errors import InvalidInput, NotFound, TooLarge, Unavailable
from portal.notifications.models import AttachmentFile
from portal.plugin_loader import Registry
from portal.sdk import Attachment

# A file is kept this long; a notification that names it must be due before.
KEPT = timedelta(days=30)
# All files of one notification together: more than most mail servers take.
MOST_BYTES = 25 * 1024 * 1024
SCAN_SECONDS = 30.0
CONTENT_TYPE = re.compile(r"\A[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}\Z")

log = logging.getLogger(__name__)
AnyRow = Row[*tuple[Any, ...]]


async def upload(
    db: Database,
    actor: Actor,
    registry: Registry,
    *,
    name: str,
    content_type: str,
    content: bytes,
    limit: int,
    application_id: UUID | None = None,
) -> AnyRow:
    """Keep a file for the actor's application (a user names one) and return its row.

    Raises `InvalidInput`, `TooLarge` above `limit` bytes, and `Unavailable` when a scanner cannot tell.
    """
    actor.require("notifications:send")
    owner = actor.application_id if actor.kind == "key" else application_id
    problems = _problems(name, content_type, content, owner)
    if problems:
        raise InvalidInput(problems)
    if len(content) > limit:
        raise TooLarge(f"The file has {len(content)} bytes; {limit} are allowed.", limit=limit)
    await _scan(registry, name, content_type, content)
    row = {
        "id": new_id(),
        "application_id": owner,
        "name": name,
        "content_type": content_type,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content": content,
        "created_at": datetime.now(UTC),
        "expires_at": datetime.now(UTC) + KEPT,
    }
    async with db.write() as conn:
        await conn.execute(insert(AttachmentFile).values(row))
        return (await conn.execute(_facts().where(AttachmentFile.id == row["id"]))).one()


async def get_attachment_for(conn: AsyncConnection, actor: Actor, attachment_id: UUID) -> AnyRow:
    """The facts of a file, without its content; raises `NotFound`."""
    actor.require("notifications:send")
    statement = _facts().where(AttachmentFile.id == attachment_id, AttachmentFile.expires_at > db_now())
    if actor.kind == "key":
        statement = statement.where(AttachmentFile.application_id == actor.application_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("attachment", attachment_id)
    return row


async def check_attachments(
    conn: AsyncConnection, application_id: UUID, ids: Sequence[UUID], due: datetime | None
) -> None:
    """Return when the application may send these files at that time; raises `InvalidInput` naming each that it may not."""
    columns = (AttachmentFile.id, AttachmentFile.size, AttachmentFile.expires_at)
    mine = (AttachmentFile.id.in_(set(ids)), AttachmentFile.application_id == application_id)
    found = {row.id: row for row in await conn.execute(select(*columns).where(*mine))}
    needed = due or datetime.now(UTC)
    problems = {}
    for index, id_ in enumerate(ids):
        row = found.get(id_)
        if row is None:
            problems[f"attachments[{index}]"] = "there is no such file; upload it first"
        elif row.expires_at <= needed:
            problems[f"attachments[{index}]"] = (
                f"this file is kept until {row.expires_at.isoformat()} only; upload it again"
            )
    if sum(found[id_].size for id_ in ids if id_ in found) > MOST_BYTES:
        problems["attachments"] = f"expected at most {MOST_BYTES} bytes in all"
    if problems:
        raise InvalidInput(problems)


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


async def forget_attachments(conn: AsyncConnection) -> int:
    """Delete the files whose time is up; how many. A day later than said, for what waits for a retry."""
    gone = await conn.execute(delete(AttachmentFile).where(AttachmentFile.expires_at < db_now(-86_400)))
    return gone.rowcount


async def _scan(registry: Registry, name: str, content_type: str, content: bytes) -> None:
    """Ask the scanners of the plugins. A file that cannot be scanned is not taken in."""
    for plugin, scan in registry.scanners.items():
        try:
            # In a thread: a scanner may take its time.
            asked = asyncio.to_thread(scan, name, content_type, content)
            async with asyncio.timeout(SCAN_SECONDS):
                refusal = await asked
        except Exception as error:
            log.error("the scanner of the plugin %s failed: %s", plugin, type(error).__name__)
            raise Unavailable("The file could not be scanned now; try again shortly.") from None
        if refusal:
            raise InvalidInput({"file": str(refusal)[:500]}, code="refused_by_scanner")


def _problems(name: str, content_type: str, content: bytes, owner: UUID | None) -> dict[str, str]:
    problems = {}
    if (
        not 1 <= len(name) <= 255
        or not name.isprintable()
        or any(mark in name for mark in '/\\"')
        or name in (".", "..")
    ):
        problems["name"] = "expected a file name of 1 to 255 printable characters without / \\ and quotes"
    if not CONTENT_TYPE.match(content_type):
        problems["content_type"] = "expected a media type such as application/pdf"
    if not content:
        problems["file"] = "expected a file that is not empty"
    if owner is None:
        problems["application_id"] = "expected the application that the file belongs to"
    return problems


def _facts() -> Any:
    table = AttachmentFile.__table__
    return select(*(column for column in table.columns if column.name != "content"))
