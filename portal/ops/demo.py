"""A small, believable company to look around in: templates, people, groups and a week of traffic.

The history is written as the ledger would have written it, with its counts, so that every page and the balance work on
it; nothing of it was sent to anybody.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.actor import SYSTEM
from portal.access.applications import ensure_application
from portal.db import bulk, new_id
from portal.db.ids import id_at
from portal.ledger.models import (
    Attempt,
    Chunk,
    Delivery,
    LedgerCount,
    Notification,
    NotificationContent,
    SandboxMessage,
)
from portal.ledger.packing import Content, encode_content
from portal.message_templates import TemplateEntry
from portal.message_templates.create import create_template
from portal.message_templates.schemas import TemplateIn
from portal.ops.demo_content import APPLICATIONS, GROUPS, NAMES, TEMPLATES, TRAFFIC, sample_data
from portal.parts import Parts
from portal.people.create import create_person
from portal.people.groups import add_members, create_group
from portal.people.schemas import AddressIn, ExternalIdIn, GroupIn, PersonIn

DAYS = 7
PER_DAY = 220
LAST_HOUR = 140
# Always the same company, so that screenshots and questions are about the same things.
SEED = 20_261_122


class Person:
    """Somebody of the demo."""

    def __init__(self, id_: UUID, name: str, email: str, phone: str, locale: str) -> None:
        self.id = id_
        self.name = name
        self.locale = locale
        self.addresses = {"email": email, "sms": phone}


async def load_demo(parts: Parts) -> None:
    """Write the demo into an empty installation."""
    draw = random.Random(SEED)
    for template in TEMPLATES:
        await create_template(parts.db, parts.registry, parts.renderer.killable, SYSTEM, TemplateIn(**template))
    people = await _people(parts, draw)
    await _groups(parts, people)
    await parts.templates.load()
    await parts.db.transact(_week, parts, people, draw)


async def _people(parts: Parts, draw: random.Random) -> list[Person]:
    people = []
    for number, (name, locale) in enumerate(NAMES, start=1):
        email = f"{name.lower().replace(' ', '.').replace('ü', 'ue').replace('ø', 'o')}@example.com"
        phone = f"+4420794601{number:02d}"
        given = PersonIn(
            name=name,
            locale=locale,
            timezone=draw.choice(["Europe/Berlin", "Europe/London", "Asia/Shanghai", "America/New_York"]),
            external_ids=[ExternalIdIn(source="crm", id=f"C-{1000 + number}")],
            addresses=[
                AddressIn(channel="email", value=email, primary=True, verified=True),
                AddressIn(channel="sms", value=phone, primary=True),
            ],
        )
        people.append(Person(await create_person(parts.db, parts.registry, SYSTEM, given), name, email, phone, locale))
    return people


async def _groups(parts: Parts, people: Sequence[Person]) -> None:
    for index, (key, name) in enumerate(GROUPS):
        group_id = await create_group(parts.db, SYSTEM, GroupIn(key=key, name=name))
        members = [person.id for number, person in enumerate(people) if number % len(GROUPS) == index or index == 0]
        await parts.db.transact(add_members, SYSTEM, group_id, members)


async def _week(conn: AsyncConnection, parts: Parts, people: Sequence[Person], draw: random.Random) -> None:
    """Seven days of traffic, more by day than by night and less at the week's end."""
    now = datetime.now(UTC)
    applications = [await ensure_application(conn, key, name) for key, name in APPLICATIONS]
    for day in range(DAYS, 0, -1):
        start = now - timedelta(days=day)
        share = 0.35 if start.weekday() >= 5 else 1.0
        moments = sorted(start + timedelta(hours=24 * _busy(draw)) for _ in range(int(PER_DAY * share)))
        if day == 1:
            # Whatever the time of day: the start page shows the last hour.
            moments += sorted(now - timedelta(minutes=draw.triangular(1, 60, 20)) for _ in range(LAST_HOUR))
        history = _History()
        for moment in moments:
            sender, key = draw.choices([(s, k) for s, k, _ in TRAFFIC], [weight for _, _, weight in TRAFFIC])[0]
            entry = parts.templates.find(key)
            if entry is not None:
                _one(history, parts, entry, applications[sender], draw.choice(people), moment, draw)
        await history.write(conn)


def _busy(draw: random.Random) -> float:
    """A moment of the day, 0 to 1, with the office hours preferred."""
    while True:
        at = draw.random()
        if draw.random() < 0.15 + 0.85 * max(0.0, math.sin((at - 0.25) * 2 * math.pi)):
            return at


class _History:
    """Rows of one day."""

    def __init__(self) -> None:
        self.rows: dict[Any, list[dict[str, Any]]] = {
            model: [] for model in (Notification, NotificationContent, Delivery, Attempt, SandboxMessage, Chunk)
        }
        self.counts: Counter[tuple[datetime, str, str]] = Counter()

    async def write(self, conn: AsyncConnection) -> None:
        """Insert everything."""
        for model, rows in self.rows.items():
            await bulk.insert(conn, model, rows)
        counts = [
            {"id": new_id(), "minute": minute, "lane": lane, "event": event, "n": n}
            for (minute, lane, event), n in self.counts.items()
        ]
        await bulk.insert(conn, LedgerCount, counts)


def _one(
    history: _History,
    parts: Parts,
    entry: TemplateEntry,
    application_id: UUID,
    person: Person,
    at: datetime,
    draw: random.Random,
) -> None:
    """One notification of the past with everything that came of it."""
    data = sample_data(entry.key, person.name, draw)
    lane = entry.priority or "medium"
    id_, chunk_id = id_at(at), id_at(at)
    channels = [channel for channel in sorted(entry.channels) if channel in person.addresses]
    outcome = draw.choices(["sent", "failed", "skipped"], [0.95, 0.03, 0.02])[0]
    settled = at + timedelta(milliseconds=draw.randint(8, 400))
    history.rows[Chunk].append(_chunk(chunk_id, id_, application_id, lane, at))
    history.rows[Notification].append(
        {
            "id": id_,
            "application_id": application_id,
            "chunk_id": chunk_id,
            "template_version_id": entry.version_id,
            "template_key": entry.key,
            "category": entry.category or "general",
            "person_id": person.id,
            "lane": lane,
            "mode": "live",
            "status": outcome,
            "reason": {"failed": "permanent", "skipped": "suppressed"}.get(outcome),
            "outcome": "none",
            "reference": data.get("order") or data.get("incident"),
            "revision": 1,
            "due_at": at,
            "created_at": at,
            "settled_at": settled,
        }
    )
    content = Content(to={"person_id": str(person.id)}, data=data)
    history.rows[NotificationContent].append({"notification_id": id_, "content": encode_content(content)})
    for channel in channels:
        _delivery(history, parts, entry, (id_, application_id), person, channel, data, outcome, (at, settled), draw)
    history.counts[at.replace(second=0, microsecond=0), lane, "accepted"] += 1
    history.counts[settled.replace(second=0, microsecond=0), lane, outcome] += 1


def _chunk(chunk_id: UUID, first: UUID, application_id: UUID, lane: str, at: datetime) -> dict[str, Any]:
    return {
        "id": chunk_id,
        "kind": "plan",
        "lane": lane,
        "application_id": application_id,
        "status": "done",
        "first_id": first,
        "last_id": first,
        "size": 1,
        "accepted": 1,
        "counted": True,
        "fence": 1,
        "not_before": at,
        "created_at": at,
    }


def _delivery(
    history: _History,
    parts: Parts,
    entry: TemplateEntry,
    ids: tuple[UUID, UUID],
    person: Person,
    channel: str,
    data: dict[str, Any],
    outcome: str,
    times: tuple[datetime, datetime],
    draw: random.Random,
) -> None:
    at, settled = times
    delivery_id, account_id = id_at(at), parts.accounts.sandbox(channel)
    status = {"sent": "sent", "failed": "dead", "skipped": "skipped"}[outcome]
    tries = 0 if outcome == "skipped" else draw.choices([1, 2], [0.94, 0.06])[0]
    history.rows[Delivery].append(
        {
            "id": delivery_id,
            "notification_id": ids[0],
            "channel": channel,
            "address": person.addresses[channel],
            "account_id": None if outcome == "skipped" else account_id,
            "status": status,
            "reason": {"dead": "permanent", "skipped": "suppressed"}.get(status),
            "detail": "The sandbox refused for good." if status == "dead" else None,
            "vendor_id": delivery_id.hex if status == "sent" else None,
            "attempts": tries,
            "created_at": at,
            "sent_at": settled if status == "sent" else None,
            "updated_at": settled,
        }
    )
    for n in range(1, tries + 1):
        history.rows[Attempt].append(_attempt(delivery_id, n, n == tries, status, account_id, at, settled, draw))
    if status == "sent":
        text = {"parts": _rendered(entry, channel, data), "headers": {}, "locale": person.locale}
        history.rows[SandboxMessage].append(
            {
                "id": id_at(at),
                "delivery_id": delivery_id,
                "notification_id": ids[0],
                "application_id": ids[1],
                "reference": data.get("order") or data.get("incident"),
                "channel": channel,
                "address": person.addresses[channel],
                "message": text,
                "created_at": settled,
            }
        )


def _attempt(
    delivery_id: UUID,
    n: int,
    last: bool,
    status: str,
    account_id: UUID,
    at: datetime,
    settled: datetime,
    draw: random.Random,
) -> dict[str, Any]:
    result = ("sent" if status == "sent" else "permanent") if last else "transient"
    return {
        "delivery_id": delivery_id,
        "n": n,
        "account_id": account_id,
        "opened_at": at + (settled - at) / 2,
        "closed_at": settled,
        "result": result,
        "code": {"permanent": "400", "transient": "503"}.get(result),
        "detail": {"permanent": "The sandbox refused for good.", "transient": "The sandbox failed this time."}.get(
            result
        ),
        "milliseconds": draw.randint(3, 180),
    }


def _rendered(entry: TemplateEntry, channel: str, data: dict[str, Any]) -> dict[str, str]:
    """A stand-in for the rendered parts: the history was never rendered, and says so."""
    values = ", ".join(f"{name}: {value}" for name, value in data.items())
    parts = {"text": f"{entry.name} ({values})"}
    return parts | {"subject": entry.name} if channel == "email" else parts
