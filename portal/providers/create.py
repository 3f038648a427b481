"""Make a provider account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import bump, new_id
from portal.errors import Conflict, InvalidInput
from portal.plugin_loader import Registry
from portal.providers import queries
from portal.providers.accounts import seal_secrets
from portal.providers.form import read, split
from portal.providers.models import ProviderAccount
from portal.providers.schemas import AccountCreate
from portal.providers.seed import SANDBOX
from portal.sdk import EVERY_CHANNEL, Provider
from portal.sealing import Keyring

KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,98}")


async def create_account(
    conn: AsyncConnection,
    actor: Actor,
    registry: Registry,
    keyring: Keyring,
    given: AccountCreate,
    *,
    strict: bool = True,
) -> UUID:
    """The id of the new account; every process uses it within 250 ms of the commit.

    Raises InvalidInput naming each wrong field, Conflict when the key is taken. `strict=False` takes a form's texts.
    """
    actor.require("providers:write")
    kind = check(registry, given)
    settings = read(kind.settings_type, given.settings, strict=strict)
    if await queries.account_by_key(conn, given.key) is not None:
        raise Conflict(f"There is an account with the key {given.key} already.", code="key_taken")
    account_id = new_id()
    plain, secrets = split(settings)
    row: dict[str, Any] = {
        "id": account_id,
        "key": given.key,
        "title": given.title.strip() or kind.title,
        "channel": given.channel,
        "provider": given.provider,
        "settings": plain,
        "sealed": seal_secrets(keyring, account_id, secrets),
        "settings_version": kind.settings_version,
        "enabled": given.enabled,
        "concurrency": given.concurrency,
        "timeout_seconds": given.timeout_seconds,
    }
    await conn.execute(insert(ProviderAccount).values(row))
    await bump(conn, "providers")
    await record(conn, actor, "provider_account.create", f"provider_account/{account_id}", None, audited(row, secrets))
    return account_id


def check(registry: Registry, given: AccountCreate) -> type[Provider]:
    """The provider that is asked for; raises InvalidInput naming each field that does not fit."""
    wrong: dict[str, str] = {}
    if not KEY.fullmatch(given.key) or given.key.startswith(f"{SANDBOX}-"):
        wrong["key"] = f"expected a-z, 0-9, dot, dash, underscore; names that begin with {SANDBOX}- are the portal's"
    if given.channel not in registry.channels:
        wrong["channel"] = f"expected one of {', '.join(sorted(registry.channels))}"
    kind = registry.providers.get(given.provider)
    if kind is None:
        wrong["provider"] = f"expected one of {', '.join(sorted(registry.providers))}"
    elif kind.channel not in (EVERY_CHANNEL, given.channel):
        wrong["provider"] = f"{given.provider} sends {kind.channel}, not {given.channel}"
    if wrong or kind is None:
        raise InvalidInput(wrong)
    return kind


def audited(row: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit keeps of an account: everything but the secrets, of which only the names."""
    kept = ("key", "title", "channel", "provider", "settings", "enabled", "concurrency", "timeout_seconds")
    return {**{name: row[name] for name in kept}, "sealed": sorted(secrets)}
