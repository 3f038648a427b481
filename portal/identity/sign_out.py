"""End sessions on their user's own wish."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.web.sessions import end_session, end_sessions_of, start_session


async def sign_out(conn: AsyncConnection, actor: Actor, id_hash: str) -> None:
    """This session is gone."""
    await end_session(conn, id_hash)
    await record(conn, actor, "user.sign_out", f"user/{actor.id}")


async def sign_out_elsewhere(
    conn: AsyncConnection, actor: Actor, *, address: str, user_agent: str, replaces: str
) -> str:
    """Every session of the user is gone, this one too; returns the identifier of the new one for this browser."""
    await end_sessions_of(conn, actor.id)
    await record(conn, actor, "user.end_sessions", f"user/{actor.id}")
    # It was proved by password: the rights that a session begun by link has are not handed on.
    return await start_session(conn, actor.id, method="password", address=address, user_agent=user_agent)
