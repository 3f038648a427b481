"""The JSON shapes of people, addresses and groups."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

PersonName = Annotated[str, Meta(max_length=200)]
Locale = Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,5}$", examples=["de-AT"])]
Timezone = Annotated[str, Meta(min_length=1, max_length=64, examples=["Europe/Vienna"])]
GroupKey = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
GroupName = Annotated[str, Meta(min_length=1, max_length=200)]
MEMBERS_AT_ONCE = 10_000


class ExternalIdIn(Struct, forbid_unknown_fields=True):
    """A person's id in another system."""

    source: Annotated[str, Meta(min_length=1, max_length=100)]
    id: Annotated[str, Meta(min_length=1, max_length=200)]


class AddressIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """One way to reach a person. `primary` is preferred over the others of its channel."""

    channel: Annotated[str, Meta(min_length=1, max_length=40)]
    value: Annotated[str, Meta(min_length=1, max_length=500)]
    primary: bool = False
    verified: bool = False


class AddressPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """What shall change. A dead address is not used; `dead: false` gives it another chance."""

    value: Annotated[str, Meta(min_length=1, max_length=500)] | UnsetType = UNSET
    primary: bool | UnsetType = UNSET
    verified: bool | UnsetType = UNSET
    dead: bool | UnsetType = UNSET


class PersonIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """A new person."""

    name: PersonName = ""
    locale: Locale | None = None
    timezone: Timezone | None = None
    external_ids: Annotated[list[ExternalIdIn], Meta(max_length=50)] = []
    addresses: Annotated[list[AddressIn], Meta(max_length=50)] = []


class PersonPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """What shall change; everything left out stays. `external_ids` replaces all of them."""

    name: PersonName | UnsetType = UNSET
    locale: Locale | UnsetType | None = UNSET
    timezone: Timezone | UnsetType | None = UNSET
    external_ids: Annotated[list[ExternalIdIn], Meta(max_length=50)] | UnsetType = UNSET


class ExternalIdOut(Struct):
    """A person's id in another system."""

    source: str
    id: str


class AddressOut(Struct, kw_only=True):
    """One way to reach a person."""

    id: UUID
    channel: str
    value: str
    primary: bool
    verified_at: datetime | None
    dead_at: datetime | None
    dead_reason: str | None
    created_at: datetime


class PersonOut(Struct, kw_only=True):
    """A person. `revision` is for If-Match."""

    id: UUID
    name: str
    locale: str | None
    timezone: str | None
    external_ids: list[ExternalIdOut]
    addresses: list[AddressOut]
    revision: int
    created_at: datetime
    updated_at: datetime


class PersonList(Struct):
    """One page. `next` is the cursor of the next page, empty on the last."""

    items: list[PersonOut]
    next: str


class GroupIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """A new group, with its first members where they are known."""

    key: GroupKey
    name: GroupName | None = None
    person_ids: Annotated[list[UUID], Meta(max_length=MEMBERS_AT_ONCE)] = []


class GroupPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """What shall change."""

    name: GroupName | UnsetType = UNSET


class GroupOut(Struct, kw_only=True):
    """A group."""

    id: UUID
    key: str
    name: str
    members: int
    created_at: datetime
    updated_at: datetime


class GroupList(Struct):
    """One page. `next` is the cursor of the next page, empty on the last."""

    items: list[GroupOut]
    next: str


class MembersIn(Struct, forbid_unknown_fields=True):
    """People to add, to remove, or to be the members."""

    person_ids: Annotated[list[UUID], Meta(max_length=MEMBERS_AT_ONCE)]


def person_out(row: Any, addresses: list[Any], external_ids: list[Any]) -> PersonOut:
    """A person's row with what belongs to it."""
    return PersonOut(
        id=row.id,
        name=row.name,
        locale=row.locale,
        timezone=row.timezone,
        external_ids=[ExternalIdOut(each.source, each.value) for each in external_ids],
        addresses=[address_out(each) for each in addresses],
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def address_out(row: Any) -> AddressOut:
    """An address's row."""
    return AddressOut(
        id=row.id,
        channel=row.channel,
        value=row.value,
        primary=bool(row.is_primary),
        verified_at=row.verified_at,
        dead_at=row.dead_at,
        dead_reason=row.dead_reason,
        created_at=row.created_at,
    )


def group_out(row: Any) -> GroupOut:
    """A group's row with the number of its members."""
    return GroupOut(
        id=row.id,
        key=row.key,
        name=row.name,
        members=row.members,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
