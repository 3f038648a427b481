"""A sandbox account and a fallback route for every channel, so that whatever is sent arrives somewhere visible."""

from __future__ import annotations

from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import bulk, bump
from portal.plugin_loader import Registry
from portal.providers.models import ProviderAccount, Route

SANDBOX = "sandbox"
# Behind every position that a person can choose; see Accounts.route.
FALLBACK_POSITION = 1_000_000
# Fixed, so that two processes that seed at once write the same rows.
NAMESPACE = UUID("6f3d1a52-94c1-5c86-8f6e-3b1c0d5a7e21")


def sandbox_account_id(channel: str) -> UUID:
    """The id of a channel's sandbox account, the same in every installation."""
    return uuid5(NAMESPACE, f"account/{channel}")


async def seed(conn: AsyncConnection, registry: Registry) -> None:
    """Make what is missing. A fallback route that somebody removed stays removed. Bumps `providers` when it wrote."""
    if SANDBOX not in registry.providers:
        return
    ids = {channel: sandbox_account_id(channel) for channel in registry.channels}
    known = set((await conn.execute(select(ProviderAccount.id))).scalars())
    missing = {channel: account_id for channel, account_id in ids.items() if account_id not in known}
    if not missing:
        return
    await bulk.insert_ignore(conn, ProviderAccount, [_account(registry, *item) for item in missing.items()])
    await bulk.insert_ignore(conn, Route, [_route(*item) for item in missing.items()])
    await bump(conn, "providers")


def _account(registry: Registry, channel: str, account_id: UUID) -> dict[str, object]:
    return {
        "id": account_id,
        "key": f"{SANDBOX}-{channel}",
        "title": f"Sandbox for {registry.channels[channel].title}",
        "channel": channel,
        "provider": SANDBOX,
        "settings": {},
        "settings_version": registry.providers[SANDBOX].settings_version,
        "concurrency": 64,
        "timeout_seconds": 30.0,
    }


def _route(channel: str, account_id: UUID) -> dict[str, object]:
    return {
        "id": uuid5(NAMESPACE, f"route/{channel}"),
        "channel": channel,
        "position": FALLBACK_POSITION,
        "account_id": account_id,
    }
