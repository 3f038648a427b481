"""The structs of the JSON API and of the forms."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from portal.providers.form import FormField

Title = Annotated[str, Meta(max_length=200)]
Concurrency = Annotated[int, Meta(ge=1, le=1000, description="Vendor calls at once, per process.")]
TimeoutSeconds = Annotated[float, Meta(ge=0.1, le=300, description="Total deadline of one vendor call, in seconds.")]
Position = Annotated[int, Meta(ge=0, le=9999, description="Accounts are tried by rising position.")]


class AccountCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new provider account. The fields of `settings` are those of the provider, see `/providers`."""

    key: Annotated[str, Meta(min_length=1, max_length=99)]
    channel: Annotated[str, Meta(max_length=40)]
    provider: Annotated[str, Meta(max_length=40)]
    title: Title = ""
    settings: dict[str, Any] = {}
    enabled: bool = True
    concurrency: Concurrency = 20
    timeout_seconds: TimeoutSeconds = 30.0


class AccountUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to change. A secret that is left out, or given as the mask, stays."""

    title: Title | None = None
    settings: dict[str, Any] | None = None
    enabled: bool | None = None
    concurrency: Concurrency | None = None
    timeout_seconds: TimeoutSeconds | None = None


class AccountOut(Struct, kw_only=True):
    """An account as it is shown: secrets are masked. `problem` says why it cannot be used."""

    id: UUID
    key: str
    title: str
    channel: str
    provider: str
    settings: dict[str, Any]
    enabled: bool
    concurrency: int
    timeout_seconds: float
    version: int
    problem: str | None
    created_at: datetime
    updated_at: datetime


class AccountList(Struct, kw_only=True):
    """All accounts."""

    items: list[AccountOut]


class CheckResult(Struct, kw_only=True):
    """What the Test button found, as a sentence."""

    ok: bool
    message: str


class ProviderOut(Struct, kw_only=True):
    """A provider that an enabled plugin brings, with the fields of its settings."""

    name: str
    title: str
    channel: str
    plugin: str
    fields: list[FormField]


class ProviderList(Struct, kw_only=True):
    """All providers."""

    items: list[ProviderOut]


class RouteCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new step of a channel's route; with an application it belongs to that application's own route."""

    channel: Annotated[str, Meta(max_length=40)]
    account_id: UUID
    position: Position = 0
    application_id: UUID | None = None
    enabled: bool = True


class RouteUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to change of a step."""

    position: Position | None = None
    account_id: UUID | None = None
    enabled: bool | None = None


class RouteOut(Struct, kw_only=True):
    """One step of a route. `fallback` marks the sandbox, which counts only while the channel has no other step."""

    id: UUID
    channel: str
    application_id: UUID | None
    position: int
    account_id: UUID
    enabled: bool
    fallback: bool


class RouteList(Struct, kw_only=True):
    """All steps of all routes, in the order in which they are tried."""

    items: list[RouteOut]
