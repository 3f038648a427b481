"""What the benchmarks need in a database: a template, a key, and a backlog."""

from __future__ import annotations

import time
from uuid import UUID

from sqlalchemy import select

from portal.access import Application
from portal.access.actor import SYSTEM
from portal.db import bulk, new_id
from portal.ledger.models import Chunk
from portal.ledger.packing import Content, Member, encode_content, encode_member, join_members
from portal.message_templates.create import create_template
from portal.message_templates.schemas import TemplateIn
from portal.ops.keys import create as create_key
from portal.parts import open_parts
from portal.settings import Settings, load

TEMPLATE = {"sms": {"en": {"text": "Hello {{ name }}, your number is {{ number }}."}}}


async def prepare(environ: dict[str, str]) -> str:
    """Migrate, write the template, make a key; its clear text."""
    from portal.db.migrate import upgrade

    settings = load(environ)
    await upgrade(settings.database)
    async with open_parts(settings) as parts:
        given = TemplateIn(key="bench", name="Benchmark", parts=TEMPLATE, publish=True)
        await create_template(parts.db, parts.registry, parts.renderer.killable, SYSTEM, given)
    return await create_key(settings, "bench", application="bench", scopes=[], test=False)


async def backlog(settings: Settings, size: int, *, lane: str = "low", chunk: int = 500) -> None:
    """Chunks as the bulk door writes them, with `size` notifications in all."""
    async with open_parts(settings) as parts:
        entry = parts.templates.find("bench")
        assert entry is not None
        async with parts.db.read() as conn:
            application = (await conn.execute(select(Application.id).where(Application.key == "bench"))).scalar_one()
        for start in range(0, size, chunk * 50):
            rows = [_chunk(application, entry.version_id, lane, chunk) for _ in range(min(50, (size - start) // chunk))]
            async with parts.db.write() as conn:
                await bulk.insert(conn, Chunk, rows)


def _chunk(application: UUID, version: UUID, lane: str, size: int) -> dict[str, object]:
    now = time.time_ns() // 1000
    members, ids = [], []
    for n in range(size):
        ids.append(new_id())
        content = Content(to={"channel": "sms", "address": f"+4479{n:08d}"}, data={"name": "Ann", "number": n})
        member = Member(
            id=ids[-1].bytes,
            version_id=version.bytes,
            template="bench",
            category="general",
            mode="live",
            created=now,
            due=now,
            expires=None,
            reference=None,
            replay_of=None,
            metadata=None,
            content=encode_content(content),
        )
        members.append(encode_member(member))
    return {
        "id": new_id(),
        "kind": "plan",
        "lane": lane,
        "application_id": application,
        "members": join_members(members),
        "first_id": ids[0],
        "last_id": ids[-1],
        "size": size,
        "accepted": size,
    }
