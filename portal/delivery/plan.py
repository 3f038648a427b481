"""Planning: whom a notification reaches, on which channels, by which accounts; and the rendered message of each.

Everything a chunk needs is loaded in a few set-based reads; the decisions are pure and on values; one transaction writes
what was decided.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.trials import Trials
from portal.db import new_id
from portal.delivery.job import Job
from portal.errors import NotFound
from portal.ledger.models import Delivery, Notification, NotificationContent
from portal.ledger.packing import Content, Member, decode_content, decode_members, notification_row
from portal.ledger.statuses import LIVE
from portal.message_templates import Renderer, RenderFailed, Templates, VersionEntry
from portal.people.queries import AddressRow, PersonRow, addresses_of, people_by_external, people_by_id
from portal.preferences.suppress import suppressed
from portal.providers import Accounts
from portal.queues import give_way
from portal.sdk import Message

YIELD_SECONDS = 0.005
YIELD_ITEMS = 50
# Deliveries that a claimed chunk goes on with; `unknown` ones wait for a receipt.
RESUMED = ("queued", "sending", "deferred")

log = logging.getLogger(__name__)


class Item:
    """One notification that has to be planned: its row (as it will be stored) and its content."""

    __slots__ = ("content", "member", "row")

    def __init__(self, row: dict[str, Any], content: Content, member: Member | None) -> None:
        self.row = row
        self.content = content
        # Set when the notification is still packed and its row has to be inserted.
        self.member = member


class Skip(NamedTuple):
    """Why nothing is sent to an address, or to anybody."""

    reason: str
    detail: str | None = None
    channel: str = ""
    address: str = ""


class Target(NamedTuple):
    """An address of a recipient and the accounts that may serve it, in order."""

    channel: str
    address: str
    route: tuple[UUID, ...]


class People(Struct):
    """What a chunk's recipients turned out to be."""

    by_id: dict[UUID, PersonRow] = {}
    by_external: dict[tuple[str, str], PersonRow] = {}
    addresses: dict[tuple[UUID, str], AddressRow] = {}
    suppressed: set[tuple[str, str]] = set()

    def of(self, to: dict[str, Any]) -> PersonRow | None:
        """The person that a content's `to` names."""
        if "person_id" in to:
            return self.by_id.get(UUID(to["person_id"]))
        external = to["external_id"]
        return self.by_external.get((external["source"], external["id"]))


class Plan:
    """What was decided for a chunk: jobs to send, delivery rows that end at once, notifications that end at once."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.jobs: list[Job] = []
        # Deliveries with an open attempt: a worker died between the call and its settlement.
        self.doubtful: list[Job] = []
        # Those of them that are sent again: their open attempts are closed with the plan.
        self.crashed: list[Job] = []
        self.ended: list[dict[str, Any]] = []
        self.parked: list[Item] = []


class Planner:
    """Plans chunks of one process."""

    def __init__(self, templates: Templates, renderer: Renderer, accounts: Accounts, trials: Trials) -> None:
        self._trials = trials
        self._templates = templates
        self._renderer = renderer
        self._accounts = accounts
        self._routes: dict[tuple[str, UUID, str], tuple[UUID, ...]] = {}

    async def plan(self, conn: AsyncConnection, chunk: Row[Any], *, stopped_templates: frozenset[str]) -> Plan:
        """Everything that is left to do for a claimed chunk; reads only."""
        # Asked anew for each chunk, once for all its members: an account may have been switched off meanwhile.
        self._routes.clear()
        plan = Plan()
        fresh = await _fresh(conn, chunk)
        plan.parked = [item for item in fresh if item.row["template_key"] in stopped_templates]
        if plan.parked:
            fresh = [item for item in fresh if item.row["template_key"] not in stopped_templates]
        versions = await self._versions({item.row["template_version_id"] for item in fresh})
        people = await _people(conn, fresh, versions)
        pause = _Pause()
        for item in fresh:
            self._plan_one(plan, item, versions, people)
            await pause()
        if chunk.kind == "send" or chunk.members is None:
            await self._resume(conn, chunk, plan, pause)
        return plan

    def _plan_one(
        self,
        plan: Plan,
        item: Item,
        versions: dict[UUID, VersionEntry],
        people: People,
    ) -> None:
        plan.items.append(item)
        row = item.row
        now = datetime.now(UTC)
        if row["expires_at"] is not None and row["expires_at"] <= now:
            _end(row, "expired", "expired", now)
            return
        if not item.content.to:
            _end(row, "cancelled", "cancelled", now)
            return
        version = versions[row["template_version_id"]]
        person = None if "address" in item.content.to else people.of(item.content.to)
        if person is not None:
            row["person_id"] = person.id
        targets, skips = self._decide(item, version, person, people)
        for skip in skips:
            if skip.address:
                plan.ended.append(_ended_delivery(row, skip.channel, skip.address, "skipped", skip.reason, None, now))
        if not targets:
            _end(row, "skipped", skips[0].reason, now)
            return
        jobs = []
        for target in targets:
            made = self._job(item, version, person, target)
            if isinstance(made, Job):
                made.siblings = len(targets)
                jobs.append(made)
            else:
                plan.ended.append(
                    _ended_delivery(row, target.channel, target.address, "dead", made.reason, made.detail, now)
                )
        if jobs:
            row["status"] = "planned"
            plan.jobs.extend(jobs)
        else:
            _end(row, "failed", "render", now)

    def _decide(
        self, item: Item, version: VersionEntry, person: PersonRow | None, people: People
    ) -> tuple[list[Target], list[Skip]]:
        """The addresses to send to, and every address or recipient that is passed over with its reason."""
        to = item.content.to
        if "address" in to:
            candidates = [(to["channel"], to["address"])]
        elif person is None:
            return [], [Skip("unknown_person")]
        else:
            wanted = item.content.channels or sorted(version.channels)
            found = ((channel, people.addresses.get((person.id, channel))) for channel in wanted)
            candidates = [(channel, address.value) for channel, address in found if address is not None]
            if not candidates:
                return [], [Skip("no_address")]
        targets: list[Target] = []
        skips: list[Skip] = []
        for channel, address in candidates:
            route = self._route(item.row, channel)
            if item.row["mode"] == "live" and self._trials.bars(item.row["application_id"], address):
                skips.append(Skip("trial", None, channel, address))
            elif (channel, address) in people.suppressed:
                skips.append(Skip("suppressed", None, channel, address))
            elif not route:
                skips.append(Skip("no_route", None, channel, address))
            else:
                targets.append(Target(channel, address, route))
        return targets, skips

    def _route(self, row: dict[str, Any], channel: str) -> tuple[UUID, ...]:
        """The accounts that may send this, in order. A test key's notifications go to the sandbox alone."""
        asked = (channel, row["application_id"], row["mode"])
        route = self._routes.get(asked)
        if route is None:
            if row["mode"] == "test":
                route = (self._accounts.sandbox(channel),)
            else:
                route = tuple(self._accounts.route(channel, row["application_id"]))
            self._routes[asked] = route
        return route

    def _job(
        self,
        item: Item,
        version: VersionEntry,
        person: PersonRow | None,
        target: Target,
    ) -> Job | Skip:
        row = item.row
        job_id = new_id()
        try:
            message = self._message(row, item.content, version, person, target.channel, target.address, job_id)
        except RenderFailed as error:
            return Skip("render", str(error)[:500])
        return Job(
            id=job_id,
            notification_id=row["id"],
            application_id=row["application_id"],
            channel=target.channel,
            address=target.address,
            account_id=target.route[0],
            category=row["category"],
            template_key=row["template_key"],
            mode=row["mode"],
            reference=row["reference"],
            expires_at=row["expires_at"],
            message=message,
            files=item.content.attachments,
        )

    def _message(
        self,
        row: dict[str, Any],
        content: Content,
        version: VersionEntry,
        person: PersonRow | None,
        channel: str,
        address: str,
        id_: UUID,
    ) -> Message:
        locale = content.locale or (person.locale if person is not None else None)
        return Message(
            id=id_.hex,
            channel=channel,
            address=address,
            parts=self._renderer.render(version, channel, locale, content.data),
            priority=row["lane"],
            locale=locale,
            category=row["category"],
            expires_at=row["expires_at"],
            reply_to=content.reply_to,
        )

    async def _versions(self, ids: Iterable[UUID]) -> dict[UUID, VersionEntry]:
        found = {}
        for id_ in ids:
            version = await self._templates.version(id_)
            if version is None:
                raise NotFound("template version", id_)
            found[id_] = version
        return found

    async def _resume(self, conn: AsyncConnection, chunk: Row[Any], plan: Plan, pause: _Pause) -> None:
        """Deliveries that exist already: retries, deferrals, and those that a dead worker left behind."""
        rows = await _waiting_deliveries(conn, chunk)
        if not rows:
            return
        contents = [decode_content(row.content) if row.content is not None else None for row in rows]
        versions = await self._versions({row.template_version_id for row in rows})
        people = await people_by_id(conn, {row.person_id for row in rows if row.person_id is not None})
        siblings = await _siblings(conn, {row.notification_id for row in rows})
        barred = await suppressed(conn, {(row.channel, row.address) for row in rows})
        now = datetime.now(UTC)
        for row, content in zip(rows, contents, strict=True):
            made = self._resumed(row, content, versions, people, siblings, barred, now)
            if isinstance(made, dict):
                plan.ended.append(made)
            else:
                (plan.doubtful if row.status == "sending" else plan.jobs).append(made)
            await pause()

    def _resumed(
        self,
        row: Row[Any],
        content: Content | None,
        versions: dict[UUID, VersionEntry],
        people: dict[UUID, PersonRow],
        siblings: dict[UUID, int],
        barred: set[tuple[str, str]],
        now: datetime,
    ) -> Job | dict[str, Any]:
        """A job for a stored delivery, or the row that ends it."""
        facts = {
            "id": row.notification_id,
            "application_id": row.application_id,
            "lane": row.lane,
            "mode": row.mode,
            "category": row.category,
            "expires_at": row.expires_at,
        }
        resent_in_doubt = row.status == "sending"
        if content is None:
            return _ended_row(row, "cancelled", "cancelled", "The content was erased.", now)
        if row.expires_at is not None and row.expires_at <= now and not resent_in_doubt:
            return _ended_row(row, "expired", "expired", None, now)
        if (row.channel, row.address) in barred and not resent_in_doubt:
            return _ended_row(row, "skipped", "suppressed", None, now)
        account = row.account_id
        if account is None or not self._accounts.has(account):
            route = self._route(facts, row.channel)
            if not route:
                return _ended_row(row, "dead", "no_route", None, now)
            account = route[0]
        version = versions[row.template_version_id]
        try:
            message = self._message(
                facts, content, version, people.get(row.person_id), row.channel, row.address, row.id
            )
        except RenderFailed as error:
            return _ended_row(row, "dead", "render", str(error)[:500], now)
        return Job(
            id=row.id,
            notification_id=row.notification_id,
            application_id=row.application_id,
            channel=row.channel,
            address=row.address,
            account_id=account,
            category=row.category,
            template_key=row.template_key,
            mode=row.mode,
            reference=row.reference,
            expires_at=row.expires_at,
            message=message,
            files=content.attachments,
            siblings=siblings[row.notification_id],
            attempts=row.attempts,
            tried=row.tried,
            stored=True,
        )


class _Pause:
    """Lets the event loop breathe every 5 ms or 50 items, so that high work never waits for a long chunk of low."""

    def __init__(self) -> None:
        self._items = 0
        self._since = time.perf_counter()

    async def __call__(self) -> None:
        self._items += 1
        if self._items >= YIELD_ITEMS or time.perf_counter() - self._since > YIELD_SECONDS:
            await give_way()
            self._items = 0
            self._since = time.perf_counter()


async def _fresh(conn: AsyncConnection, chunk: Row[Any]) -> list[Item]:
    """The notifications of a plan chunk that nobody planned yet: packed ones, or rows."""
    if chunk.kind != "plan":
        return []
    if chunk.members is not None:
        members = decode_members(chunk.members)
        return [
            Item(notification_row(member, chunk, "accepted"), decode_content(member.content), member)
            for member in members
        ]
    statement = (
        select(Notification, NotificationContent.content)
        .outerjoin(NotificationContent, NotificationContent.notification_id == Notification.id)
        .where(Notification.chunk_id == chunk.id, Notification.status.in_(("accepted", "scheduled", "held")))
        .order_by(Notification.id)
    )
    items = []
    for row in (await conn.execute(statement)).mappings():
        values = dict(row)
        content = values.pop("content")
        items.append(Item(values, decode_content(content) if content is not None else Content(to={}), None))
    return items


async def _people(conn: AsyncConnection, items: Sequence[Item], versions: dict[UUID, VersionEntry]) -> People:
    """The people, addresses and suppressions of a chunk, each in one read."""
    people = People()
    persons = [item for item in items if "person_id" in item.content.to]
    externals = [item for item in items if "external_id" in item.content.to]
    pairs = {(item.content.to["channel"], item.content.to["address"]) for item in items if "address" in item.content.to}
    if persons:
        people.by_id = await people_by_id(conn, {UUID(item.content.to["person_id"]) for item in persons})
    if externals:
        wanted = {(e["source"], e["id"]) for e in (item.content.to["external_id"] for item in externals)}
        people.by_external = await people_by_external(conn, list(wanted))
    known = {person.id for person in [*people.by_id.values(), *people.by_external.values()]}
    if known:
        channels = {channel for version in versions.values() for channel in version.channels}
        people.addresses = await addresses_of(conn, known, channels)
        pairs |= {(channel, address.value) for (_, channel), address in people.addresses.items()}
    people.suppressed = await suppressed(conn, pairs)
    return people


async def _waiting_deliveries(conn: AsyncConnection, chunk: Row[Any]) -> list[Any]:
    statement = (
        select(
            Delivery.id,
            Delivery.notification_id,
            Delivery.channel,
            Delivery.address,
            Delivery.account_id,
            Delivery.status,
            Delivery.attempts,
            Delivery.tried,
            Notification.application_id,
            Notification.template_version_id,
            Notification.template_key,
            Notification.category,
            Notification.person_id,
            Notification.lane,
            Notification.mode,
            Notification.reference,
            Notification.expires_at,
            NotificationContent.content,
        )
        .join(Notification, Notification.id == Delivery.notification_id)
        .outerjoin(NotificationContent, NotificationContent.notification_id == Delivery.notification_id)
        .where(Delivery.chunk_id == chunk.id, Delivery.status.in_(RESUMED), Notification.status.in_(LIVE))
        .order_by(Delivery.id)
    )
    return list(await conn.execute(statement))


async def _siblings(conn: AsyncConnection, notification_ids: set[UUID]) -> dict[UUID, int]:
    """How many deliveries each of the notifications has."""
    statement = (
        select(Delivery.notification_id, func.count())
        .where(Delivery.notification_id.in_(notification_ids))
        .group_by(Delivery.notification_id)
    )
    return {notification_id: n for notification_id, n in await conn.execute(statement)}


def _end(row: dict[str, Any], status: str, reason: str | None, now: datetime) -> None:
    row["status"] = status
    row["reason"] = reason
    row["settled_at"] = now


def _ended_delivery(
    row: dict[str, Any], channel: str, address: str, status: str, reason: str, detail: str | None, now: datetime
) -> dict[str, Any]:
    """The row of a delivery that ends in planning; `new` tells it from one that exists already."""
    return {
        "id": new_id(),
        "new": True,
        "notification_id": row["id"],
        "channel": channel,
        "address": address,
        "status": status,
        "reason": reason,
        "detail": detail,
        "at": now,
    }


def _ended_row(row: Row[Any], status: str, reason: str, detail: str | None, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "new": False,
        "notification_id": row.notification_id,
        "channel": row.channel,
        "address": row.address,
        "status": status,
        "reason": reason,
        "detail": detail,
        "at": now,
    }
