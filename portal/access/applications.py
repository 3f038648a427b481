"""Create applications."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.models import Application
from portal.db import bulk, new_id


async def ensure_application(conn: AsyncConnection, key: str, name: str = "", owner: str = "") -> UUID:
    """The id of the application with this key, created when there is none; two at once get the same."""
    row = {"id": new_id(), "key": key, "name": name or key, "owner": owner, "trial": False, "guest_list": []}
    await bulk.insert_ignore(conn, Application, [row])
    return (await conn.execute(select(Application.id).where(Application.key == key))).scalar_one()
