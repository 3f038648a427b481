"""Change or remove a provider account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import bump, db_now
from portal.errors import InvalidInput, PreconditionFailed
from portal.plugin_loader import Registry
from portal.providers import queries
from portal.providers.accounts import open_secrets, seal_secrets
from portal.providers.create import audited
from portal.providers.form import MASK, read, secret_names, split
from portal.providers.models import ProviderAccount, Route, VendorToken
from portal.providers.schemas import AccountUpdate
from portal.sealing import Keyring


async def update_account(
    conn: AsyncConnection,
    actor: Actor,
    registry: Registry,
    keyring: Keyring,
    account_id: UUID,
    given: AccountUpdate,
    *,
    if_version: int | None = None,
    strict: bool = True,
) -> None:
    """Change what is given and keep the rest; a secret that is left out or given as the mask stays as it is.

    Raises NotFound, PreconditionFailed when `if_version` is not the stored one, InvalidInput naming each wrong field.
    """
    actor.require("providers:write")
    row = await queries.get_account(conn, account_id)
    if if_version is not None and if_version != row.version:
        raise PreconditionFailed("The account was changed by somebody else; read it again.")
    values: dict[str, Any] = {}
    for name in ("title", "enabled", "concurrency", "timeout_seconds"):
        value = getattr(given, name)
        if value is not None:
            values[name] = value
    secrets = open_secrets(keyring, account_id, row.sealed)
    before = audited(row._asdict(), secrets)
    if given.settings is not None:
        settings = _merged(registry, row, secrets, given.settings, strict)
        values["settings"], secrets = settings[0], settings[1]
        values["sealed"] = seal_secrets(keyring, account_id, secrets)
        values["settings_version"] = settings[2]
    await _write(conn, row, values)
    after = audited({**row._asdict(), **values}, secrets)
    await record(conn, actor, "provider_account.update", f"provider_account/{account_id}", before, after)


def _merged(
    registry: Registry, row: Any, secrets: dict[str, Any], given: dict[str, Any], strict: bool
) -> tuple[dict[str, Any], dict[str, Any], int]:
    kind = registry.providers.get(row.provider)
    if kind is None:
        raise InvalidInput({"settings": f"the plugin with the provider {row.provider} is not enabled"})
    old = {**row.settings, **secrets}
    if row.settings_version < kind.settings_version:
        old = kind.upgrade(old, row.settings_version)
    unchanged = {name for name in secret_names(kind.settings_type) if given.get(name) in (None, MASK)}
    new = {name: value for name, value in given.items() if name not in unchanged}
    return *split(read(kind.settings_type, {**old, **new}, strict=strict)), kind.settings_version


async def _write(conn: AsyncConnection, row: Any, values: dict[str, Any]) -> None:
    where = (ProviderAccount.id == row.id, ProviderAccount.version == row.version)
    changed: CursorResult[Any] = await conn.execute(
        update(ProviderAccount).where(*where).values(**values, version=row.version + 1, updated_at=db_now())
    )
    if not changed.rowcount:
        raise PreconditionFailed("The account was changed by somebody else; read it again.")
    await bump(conn, "providers")


async def remove_account(conn: AsyncConnection, actor: Actor, account_id: UUID) -> None:
    """Remove an account with its secrets, its tokens and its steps on routes; what was sent through it stays told."""
    actor.require("providers:write")
    row = await queries.get_account(conn, account_id)
    for table, column in ((Route, Route.account_id), (VendorToken, VendorToken.account_id)):
        await conn.execute(delete(table).where(column == account_id))
    await conn.execute(delete(ProviderAccount).where(ProviderAccount.id == account_id))
    await bump(conn, "providers")
    await record(
        conn, actor, "provider_account.remove", f"provider_account/{account_id}", audited(row._asdict(), {}), None
    )
