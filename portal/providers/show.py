"""Accounts, providers and routes as they may be shown: without a secret. Pure."""

from __future__ import annotations

from typing import Any

from portal.plugin_loader import Registry
from portal.providers.accounts import open_secrets
from portal.providers.form import form_of, masked
from portal.providers.schemas import AccountOut, ProviderOut, RouteOut
from portal.providers.seed import FALLBACK_POSITION
from portal.sdk import Provider
from portal.sealing import Keyring, WrongKey


def account_out(row: Any, registry: Registry, keyring: Keyring) -> AccountOut:
    """The account of this row; its problem when its plugin is missing or its secrets cannot be opened."""
    kind, problem = registry.providers.get(row.provider), None
    secrets: frozenset[str] = frozenset()
    try:
        secrets = frozenset(open_secrets(keyring, row.id, row.sealed))
    except WrongKey as error:
        problem = str(error)
    if kind is None:
        problem = f"The plugin with the provider {row.provider} is not enabled or did not load."
    return AccountOut(
        id=row.id,
        key=row.key,
        title=row.title,
        channel=row.channel,
        provider=row.provider,
        settings=masked(kind, row.settings, secrets) if kind else row.settings,
        enabled=row.enabled,
        concurrency=row.concurrency,
        timeout_seconds=row.timeout_seconds,
        version=row.version,
        problem=problem,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def provider_out(kind: type[Provider], registry: Registry) -> ProviderOut:
    """A provider and the form of its accounts."""
    plugin = registry.plugin_of(kind.name)
    return ProviderOut(
        name=kind.name,
        title=kind.title,
        channel=kind.channel,
        plugin=plugin.name if plugin else "",
        fields=form_of(kind.settings_type),
    )


def route_out(row: Any) -> RouteOut:
    """One step of a route."""
    return RouteOut(
        id=row.id,
        channel=row.channel,
        application_id=row.application_id,
        position=row.position,
        account_id=row.account_id,
        enabled=row.enabled,
        fallback=row.position == FALLBACK_POSITION,
    )
