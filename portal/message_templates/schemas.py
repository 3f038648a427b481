"""The JSON shapes of templates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from portal.message_templates.build import AllParts, Parts
from portal.message_templates.contract import Contract, Variable

Priority = Literal["high", "medium", "low"]
Key = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Letters, digits, dot, hyphen and underscore.",
        examples=["order-shipped"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Category = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Locale = Annotated[str, Meta(min_length=2, max_length=35, examples=["en", "zh-Hans-CN"])]
# A whole contract, or only its variables.
ContractIn = Contract | list[Variable] | None


class TemplatePut(Struct, forbid_unknown_fields=True, kw_only=True):
    """A template as a whole. `parts` is channel → locale → part → text."""

    name: Name | None = None
    parts: AllParts
    category: Category | None = None
    priority: Priority | None = None
    default_locale: Locale | None = None
    contract: ContractIn = None
    publish: bool = False


class TemplateIn(TemplatePut, forbid_unknown_fields=True, kw_only=True):
    """A new template."""

    key: Key


class TemplatePatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """What shall change; everything left out stays."""

    name: Name | UnsetType = UNSET
    parts: AllParts | UnsetType = UNSET
    category: Category | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    default_locale: Locale | UnsetType = UNSET
    contract: ContractIn | UnsetType = UNSET
    archived: Literal[False] | UnsetType = UNSET
    publish: bool = False


class TemplateOut(Struct, kw_only=True):
    """A template with its draft. `version` is the published one, null before the first; `revision` is for If-Match."""

    id: UUID
    key: str
    name: str
    category: str | None
    priority: str | None
    default_locale: str
    version: int | None
    version_id: UUID | None
    channels: list[str]
    revision: int
    archived: bool
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    published_by: str | None
    parts: AllParts
    contract: Contract
    warnings: dict[str, str] = {}


class TemplateListed(Struct, kw_only=True):
    """A template in a list, without its content."""

    id: UUID
    key: str
    name: str
    category: str | None
    priority: str | None
    version: int | None
    channels: list[str]
    archived: bool
    created_at: datetime
    updated_at: datetime


class TemplateList(Struct):
    """One page. `next` is the cursor of the next page, empty on the last."""

    items: list[TemplateListed]
    next: str


class VersionListed(Struct, kw_only=True):
    """A version in the history of its template."""

    id: UUID
    version: int
    channels: list[str]
    published_at: datetime
    published_by: str


class VersionOut(VersionListed, kw_only=True):
    """A version in full: `parts` as written, `rendered_from` as it is rendered (styles inlined, text part added)."""

    default_locale: str
    parts: AllParts
    rendered_from: AllParts
    contract: Contract


class PreviewIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to show. Without `data` the examples of the contract; `parts` stand in for those that are stored."""

    channel: str
    locale: Locale | None = None
    data: dict[str, Any] | None = None
    version: int | None = None
    parts: Parts | None = None


class MeasureOut(Struct):
    """The size in the channel's own unit."""

    unit: str
    amount: int
    limit: int | None
    detail: str


class PreviewOut(Struct, kw_only=True):
    """What would be sent. `problems` are by part (with the line) or by field of the data."""

    channel: str
    locale: str
    parts: Parts
    problems: dict[str, str]
    measure: MeasureOut | None
    data: dict[str, Any]
